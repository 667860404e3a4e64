"""Gather a method in one file."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import bundle

with running(snakemake.log[0]):
    bundle.run(
        snakemake.params.job,
        models=list(snakemake.input.models),
        predictions=list(snakemake.input.predictions),
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        output=snakemake.output.bundle,
    )
