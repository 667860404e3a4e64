"""Simulate one ROOT file."""

from rootloom.cluster.running import running
from rootloom.stages import simulate

with running(snakemake.log[0]):
    simulate.run(
        snakemake.params.job,
        output=snakemake.output.root,
    )
