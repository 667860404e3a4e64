"""Survey the rows of a representation's shards."""

from rootloom.stages.all import all_shards, running, survey

with running(snakemake.log[0]):
    survey(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        output=snakemake.output.survey,
    )
