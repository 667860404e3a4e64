"""Merge what the packs say of the rows of a representation."""

from rootloom.stages.all import running, survey

with running(snakemake.log[0]):
    survey(
        snakemake.params.job,
        spectra=snakemake.input.spectra,
        output=snakemake.output.survey,
    )
