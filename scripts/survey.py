"""Merge what the packs say of the rows of a representation."""

from rootloom.cluster.running import running
from rootloom.stages import survey

with running(snakemake.log[0]):
    survey.run(
        snakemake.params.job,
        spectra=snakemake.input.spectra,
        output=snakemake.output.survey,
    )
