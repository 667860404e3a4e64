"""Compare real examples with real ones."""

from rootloom.cluster.running import running
from rootloom.shards.manifest import all_shards
from rootloom.stages import floor

with running(snakemake.log[0]):
    floor.run(
        snakemake.params.job,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        output=snakemake.output.floor,
    )
