"""Sum the statistics of a pack of files."""

from rootloom.stages.all import moments, running

with running(snakemake.log[0]):
    moments(
        snakemake.params.job,
        manifest=snakemake.input.manifests[0],
        output=snakemake.output.moments,
    )
