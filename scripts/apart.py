"""Refuse copies of files that train among those of another dataset, if their splits differ."""

from rootloom.cluster.running import running
from rootloom.stages import apart

with running(snakemake.log[0]):
    apart.run(
        snakemake.params.job,
        indexes=snakemake.input.indexes,
        nominal=snakemake.input.nominal,
        output=snakemake.output.apart,
    )
