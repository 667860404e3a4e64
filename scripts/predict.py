"""Score every row with a trained model."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import predict

with running(snakemake.log[0]):
    predict.run(
        snakemake.params.job,
        model=snakemake.input.model,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        outputs=snakemake.output,
    )
