"""Turn predictions into metrics."""

from rootloom.stages.all import evaluate, running

with running(snakemake.log[0]):
    evaluate(
        snakemake.params.job,
        predictions=snakemake.input.predictions,
        held_out=snakemake.input.held_out,
        output=snakemake.output.evaluation,
    )
