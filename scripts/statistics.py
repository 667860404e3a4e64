"""Merge the statistics of all groups."""

from rootloom.stages import statistics, running

with running(snakemake.log[0]):
    statistics(
        snakemake.params.job,
        moments=snakemake.input.moments,
        output=snakemake.output.statistics,
    )
