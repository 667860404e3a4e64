"""Turn predictions or examples into metrics."""

from rootloom.cluster.running import running
from rootloom.stages import evaluate

with running(snakemake.log[0]):
    evaluate.run(
        snakemake.params.job,
        results=list(snakemake.input.results),
        held_out=list(snakemake.input.held_out),
        floor=list(snakemake.input.floor),
        models=list(snakemake.input.models),
        manifests=list(snakemake.input.manifests),
        statistics=list(snakemake.input.statistics),
        files=snakemake.params.files,
        output=snakemake.output.evaluation,
    )
