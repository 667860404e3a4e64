"""Read the headers of one ROOT file."""

from rootloom.stages import index, running

with running(snakemake.log[0]):
    index(
        snakemake.params.job,
        output=snakemake.output.index,
    )
