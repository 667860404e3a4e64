"""Make new examples with a trained generator."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import generate

with running(snakemake.log[0]):
    generate.run(
        snakemake.params.job,
        model=snakemake.input.model,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        output=snakemake.output.examples,
    )
