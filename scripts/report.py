"""Write the report page."""

from rootloom.stages.all import report, running

with running(snakemake.log[0]):
    report(
        snakemake.params.job,
        evaluations=snakemake.input.evaluations,
        histories=snakemake.input.histories,
        statistics=snakemake.input.statistics,
        surveys=snakemake.input.surveys,
        manifests=snakemake.input.manifests,
        output=snakemake.output.report,
        quarantined=snakemake.output.quarantined,
    )
