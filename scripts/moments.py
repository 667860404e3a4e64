"""Sum the statistics of a group of files."""

from rootloom.stages import moments, running

with running(snakemake.log[0]):
    moments(
        snakemake.params.job,
        shards=snakemake.input.shards,
        output=snakemake.output.moments,
    )
