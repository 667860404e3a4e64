"""Say what this node is like."""

from pathlib import Path

from rootloom.cluster.canary import look_around
from rootloom.cluster.running import running

with running(snakemake.log[0]):
    look_around(Path(snakemake.output.seen), gpu=snakemake.params.gpu)
