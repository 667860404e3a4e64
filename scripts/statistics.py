"""Merge the statistics of all groups."""

from rootloom.stages.all import running, statistics

with running(snakemake.log[0]):
    statistics(
        snakemake.params.job,
        moments=snakemake.input.moments,
        output=snakemake.output.statistics,
        weighting=snakemake.config["weighting"],
    )
