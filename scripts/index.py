"""Read the headers of a pack of ROOT files."""

from rootloom.cluster.running import running
from rootloom.stages import index

with running(snakemake.log[0]):
    index.run(
        snakemake.params.job,
        listing=snakemake.params.listing,
        readers=snakemake.config["readers"][snakemake.wildcards.dataset],
        output=snakemake.output.index,
    )
