"""Train one member of a method."""

from rootloom.stages.all import all_shards, running, train

with running(snakemake.log[0]):
    train(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        model=snakemake.output.model,
        history=snakemake.output.history,
        directory=snakemake.params.directory,
    )
