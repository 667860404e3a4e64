"""Fit a baseline and score every row."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import baseline

with running(snakemake.log[0]):
    baseline.run(
        snakemake.params.job,
        training_shards=all_shards(
            snakemake.input.training_manifests, snakemake.params.training_files
        ),
        training_statistics=snakemake.input.training_statistics,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        outputs=snakemake.output,
    )
