"""Sum what a report shows of the rows of a pack of files."""

from rootloom.stages.all import running, spectra

with running(snakemake.log[0]):
    spectra(
        snakemake.params.job,
        manifest=snakemake.input.manifests[0],
        axes=snakemake.input.axes,
        output=snakemake.output.spectra,
    )
