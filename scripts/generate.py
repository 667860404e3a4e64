"""Make new examples with a trained generator."""

from rootloom.stages.all import all_shards, generate, running

with running(snakemake.log[0]):
    generate(
        snakemake.params.job,
        model=snakemake.input.model,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        output=snakemake.output.showers,
    )
