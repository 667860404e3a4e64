"""Fit a baseline and score every row."""

from rootloom.stages import baseline, running

with running(snakemake.log[0]):
    baseline(
        snakemake.params.job,
        shards=snakemake.input.shards,
        statistics=snakemake.input.statistics,
        outputs=snakemake.output,
    )
