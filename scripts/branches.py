"""Refuse branches that no file of the data set has."""

from rootloom.stages.all import branches, running

with running(snakemake.log[0]):
    branches(
        snakemake.params.job,
        indexes=snakemake.input.indexes,
        output=snakemake.output.branches,
    )
