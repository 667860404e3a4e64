"""Choose the axes of distributions of a representation's inputs."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import axes

with running(snakemake.log[0]):
    axes.run(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        output=snakemake.output.axes,
    )
