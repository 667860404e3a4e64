"""Turn predictions into metrics."""

from rootloom.cluster.running import running
from rootloom.stages import evaluate

with running(snakemake.log[0]):
    evaluate.run(
        snakemake.params.job,
        predictions=snakemake.input.predictions,
        held_out=snakemake.input.held_out,
        output=snakemake.output.evaluation,
    )
