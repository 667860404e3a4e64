"""Sum what a report shows of the rows of a pack of files."""

from rootloom.cluster.running import running
from rootloom.stages import spectra

with running(snakemake.log[0]):
    spectra.run(
        snakemake.params.job,
        manifest=snakemake.input.manifests[0],
        axes=snakemake.input.axes,
        output=snakemake.output.spectra,
    )
