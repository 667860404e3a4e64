"""Make one lost shard again."""

from rootloom.stages import running, shard

with running(snakemake.log[0]):
    shard(
        snakemake.params.job,
        index=snakemake.input.index,
        output=snakemake.output.shard,
    )
