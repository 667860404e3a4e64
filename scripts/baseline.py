"""Fit a baseline and score every row."""

from rootloom.stages.all import all_shards, baseline, running

with running(snakemake.log[0]):
    baseline(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        outputs=snakemake.output,
    )
