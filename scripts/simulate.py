"""Simulate one ROOT file."""

from rootloom.stages import running, simulate

with running(snakemake.log[0]):
    simulate(
        snakemake.params.job,
        output=snakemake.output.root,
    )
