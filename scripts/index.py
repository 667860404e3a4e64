"""Read the headers of a pack of ROOT files."""

from rootloom.stages.all import index, running

with running(snakemake.log[0]):
    index(
        snakemake.params.job,
        listing=snakemake.params.listing,
        readers=snakemake.config["readers"],
        output=snakemake.output.index,
    )
