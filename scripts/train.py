"""Train one member of a method."""

from rootloom.stages import running, train

with running(snakemake.log[0]):
    train(
        snakemake.params.job,
        shards=snakemake.input.shards,
        statistics=snakemake.input.statistics,
        model=snakemake.output.model,
        history=snakemake.output.history,
        directory=snakemake.params.directory,
    )
