"""Train one member of a method."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import train

with running(snakemake.log[0]):
    train.run(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        model=snakemake.output.model,
        history=snakemake.output.history,
        directory=snakemake.params.directory,
    )
