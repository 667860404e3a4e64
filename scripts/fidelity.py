"""Compare generated examples with real ones."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import fidelity

with running(snakemake.log[0]):
    fidelity.run(
        snakemake.params.job,
        examples=snakemake.input.examples,
        models=snakemake.input.models,
        floor=snakemake.input.floor,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        output=snakemake.output.evaluation,
    )
