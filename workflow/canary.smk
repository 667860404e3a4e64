"""One small job through the path of all others: `rootloom doctor --profile NAME` runs it."""

import os
import sys
from pathlib import Path

SOURCE = str((Path(workflow.basedir).parent / "src").resolve())
sys.path.insert(0, SOURCE)
inherited = os.environ.get("PYTHONPATH")
os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [SOURCE, inherited]))}


rule canary:
    output:
        seen="seen.json",
    log:
        "canary.log",
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        **({"gpu": 1} if int(config["gpu"]) else {}),
        mem_mb=500,
        runtime=5,
        disk_mb=100,
    params:
        gpu=bool(int(config["gpu"])),
    script:
        "../scripts/canary.py"
