"""Turn predictions into metrics."""

from rootloom.stages import evaluate, running

with running(snakemake.log[0]):
    evaluate(
        snakemake.params.job,
        predictions=snakemake.input.predictions,
        output=snakemake.output.evaluation,
    )
