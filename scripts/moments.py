"""Sum the statistics of a pack of files."""

from rootloom.cluster.running import running
from rootloom.stages import moments

with running(snakemake.log[0]):
    moments.run(
        snakemake.params.job,
        manifest=snakemake.input.manifests[0],
        output=snakemake.output.moments,
    )
