"""Choose the axes of distributions of a representation's inputs."""

from rootloom.stages.all import all_shards, axes, running

with running(snakemake.log[0]):
    axes(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        output=snakemake.output.axes,
    )
