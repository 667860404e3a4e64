"""Score every row with a trained model."""

from rootloom.stages.all import all_shards, predict, running

with running(snakemake.log[0]):
    predict(
        snakemake.params.job,
        model=snakemake.input.model,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        outputs=snakemake.output,
    )
