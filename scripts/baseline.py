"""Fit a baseline and score every row."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import baseline

with running(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    shards = all_shards(given.manifests, params.files)
    # Each shard is opened for it: those of the dataset that trains once.
    same = list(given.training_manifests) == list(given.manifests)
    training = shards if same else all_shards(given.training_manifests, params.training_files)
    baseline.run(
        params.job,
        training_shards=training,
        training_statistics=given.training_statistics,
        shards=shards,
        statistics=given.statistics,
        outputs=snakemake.output,
    )
