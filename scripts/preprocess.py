"""Turn a pack of files into shards."""

from rootloom.cluster.running import running
from rootloom.stages import preprocess

with running(snakemake.log[0]):
    preprocess.run(
        snakemake.params.job,
        listing=snakemake.params.listing,
        index=snakemake.input.index,
        shards=snakemake.params.shards,
        changed=snakemake.params.changed,
        output=snakemake.output.manifest,
    )
