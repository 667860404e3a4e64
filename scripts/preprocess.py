"""Turn a range of entries into a shard."""

from rootloom.stages import preprocess, running

with running(snakemake.log[0]):
    preprocess(
        snakemake.params.job,
        index=snakemake.input.index,
        output=snakemake.output.shard,
    )
