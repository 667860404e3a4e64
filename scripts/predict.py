"""Score every row with a trained model."""

from rootloom.stages import predict, running

with running(snakemake.log[0]):
    predict(
        snakemake.params.job,
        model=snakemake.input.model,
        shards=snakemake.input.shards,
        statistics=snakemake.input.statistics,
        outputs=snakemake.output,
    )
