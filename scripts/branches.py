"""Refuse branches that no file of the dataset has."""

from rootloom.cluster.running import running
from rootloom.stages import branches

with running(snakemake.log[0]):
    branches.run(
        snakemake.params.job,
        indexes=snakemake.input.indexes,
        output=snakemake.output.branches,
    )
