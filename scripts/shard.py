"""Make one lost shard again."""

from rootloom.cluster.running import running
from rootloom.stages import preprocess

with running(snakemake.log[0]):
    preprocess.run_shard(
        snakemake.params.job,
        index=snakemake.input.index,
        changed=snakemake.params.changed,
        output=snakemake.output.shard,
    )
