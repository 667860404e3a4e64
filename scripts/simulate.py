"""Simulate one ROOT file."""

from rootloom.stages.all import running, simulate

with running(snakemake.log[0]):
    simulate(
        snakemake.params.job,
        output=snakemake.output.root,
    )
