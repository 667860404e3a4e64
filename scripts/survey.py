"""Survey the rows of a representation's shards."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import survey

with running(snakemake.log[0]):
    survey.run(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        output=snakemake.output.survey,
    )
