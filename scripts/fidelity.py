"""Compare generated showers with real ones."""

from rootloom.stages.all import all_shards, fidelity, running

with running(snakemake.log[0]):
    fidelity(
        snakemake.params.job,
        showers=snakemake.input.showers,
        models=snakemake.input.models,
        floor=snakemake.input.floor,
        shards=all_shards(snakemake.input.manifests, snakemake.params.files),
        statistics=snakemake.input.statistics,
        output=snakemake.output.evaluation,
    )
