"""Write the scores of a pack of files as friend trees."""

from rootloom.cluster.running import running
from rootloom.stages import friends

with running(snakemake.log[0]):
    friends.run(
        snakemake.params.job,
        listing=snakemake.params.listing,
        predictions=snakemake.input.predictions,
        index=snakemake.input.index,
        friends=snakemake.params.friends,
        changed=snakemake.params.changed,
        output=snakemake.output.manifest,
    )
