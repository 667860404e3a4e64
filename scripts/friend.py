"""Make one lost friend tree again."""

from rootloom.stages.all import friend, running

with running(snakemake.log[0]):
    friend(
        snakemake.params.job,
        predictions=snakemake.input.predictions,
        index=snakemake.input.index,
        changed=snakemake.params.changed,
        output=snakemake.output.friend,
    )
