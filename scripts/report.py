"""Write the report page."""

from rootloom.cluster.running import running
from rootloom.stages import report

with running(snakemake.log[0]):
    report.run(
        snakemake.params.job,
        evaluations=snakemake.input.evaluations,
        histories=snakemake.input.histories,
        models=snakemake.input.models,
        statistics=snakemake.input.statistics,
        surveys=snakemake.input.surveys,
        manifests=snakemake.input.manifests,
        exported=list(snakemake.input.exported),
        output=snakemake.output.report,
        quarantined=snakemake.output.quarantined,
    )
