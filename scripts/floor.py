"""Compare real showers with real ones."""

from rootloom.stages.all import all_shards, floor, running

with running(snakemake.log[0]):
    floor(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        output=snakemake.output.floor,
    )
