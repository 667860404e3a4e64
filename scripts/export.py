"""Write a trained network in the formats of other frameworks."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import export

with running(snakemake.log[0]):
    export.run(
        snakemake.params.job,
        model=snakemake.input.model,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        folder=snakemake.params.folder,
        output=snakemake.output.exported,
    )
