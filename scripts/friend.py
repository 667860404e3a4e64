"""Make one lost friend tree again."""

from rootloom.cluster.running import running
from rootloom.stages import friends

with running(snakemake.log[0]):
    friends.run_friend(
        snakemake.params.job,
        predictions=snakemake.input.predictions,
        index=snakemake.input.index,
        changed=snakemake.params.changed,
        output=snakemake.output.friend,
    )
