"""Merge the statistics of all groups."""

from rootloom.cluster.running import running
from rootloom.stages import statistics

with running(snakemake.log[0]):
    statistics.run(
        snakemake.params.job,
        moments=snakemake.input.moments,
        output=snakemake.output.statistics,
        weighting=snakemake.config["weighting"][snakemake.wildcards.dataset],
        role=snakemake.config["roles"][snakemake.wildcards.dataset],
    )
