"""Read the headers of a pack of ROOT files."""

from rootloom.stages import index, running

with running(snakemake.log[0]):
    index(
        snakemake.params.job,
        listing=snakemake.params.listing,
        reader=snakemake.config["reader"],
        output=snakemake.output.index,
    )
