"""Write the scores as friend trees."""

from rootloom.stages import friends, running

with running(snakemake.log[0]):
    friends(
        snakemake.params.job,
        predictions=snakemake.input.predictions,
        indices=snakemake.input.indices,
        outputs=snakemake.output.friends,
    )
