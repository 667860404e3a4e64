"""Turn a pack of files into shards."""

from rootloom.stages.all import preprocess, running

with running(snakemake.log[0]):
    preprocess(
        snakemake.params.job,
        listing=snakemake.params.listing,
        index=snakemake.input.index,
        shards=snakemake.params.shards,
        changed=snakemake.params.changed,
        output=snakemake.output.manifest,
    )
