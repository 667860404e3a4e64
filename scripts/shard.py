"""Make one lost shard again."""

from rootloom.stages.all import running, shard

with running(snakemake.log[0]):
    shard(
        snakemake.params.job,
        index=snakemake.input.index,
        changed=snakemake.params.changed,
        output=snakemake.output.shard,
    )
