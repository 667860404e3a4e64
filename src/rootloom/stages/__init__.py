"""What jobs are given and do: a file a rule, with its section, its description and its `run`.

A stage imports what it runs inside its functions, so that describing jobs, which every process of
a run does, loads nothing heavy. The other files are what several stages, or the command line, run:
`networks`, `scoring` and `bundling` of predictions, `readings`, `scorers` and `applying` of
bundles, `sharding`, `friend_trees`, `sampling`, `conditions` and `comparing` of generated examples,
`evaluating` of both, and `worker`, a process of a training on several machines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rootloom.planning.plan import Plan
from rootloom.stages import (
    apart,
    axes,
    baseline,
    branches,
    bundle,
    evaluate,
    export,
    floor,
    friends,
    generate,
    index,
    moments,
    predict,
    preprocess,
    report,
    simulate,
    spectra,
    statistics,
    survey,
    train,
)

STAGES = {
    stage.name: stage
    for stage in (
        simulate.STAGE,
        index.STAGE,
        branches.STAGE,
        apart.STAGE,
        preprocess.STAGE,
        preprocess.SHARD,
        moments.STAGE,
        statistics.STAGE,
        axes.STAGE,
        spectra.STAGE,
        survey.STAGE,
        train.STAGE,
        predict.STAGE,
        export.STAGE,
        bundle.STAGE,
        generate.STAGE,
        baseline.STAGE,
        friends.STAGE,
        friends.FRIEND,
        evaluate.STAGE,
        floor.STAGE,
        report.STAGE,
    )
}


def make_plan(settings: dict[str, Any], root: Path, *, noted: bool = False) -> Plan:
    """The plan of a configuration: `settings` of `config/config.yaml`, which lies below `root`.

    noted: whether to rely on what the head of the run has checked and written, as its jobs do.
    Raises ConfigError for a configuration that cannot work.
    """
    return Plan(settings, root, STAGES, noted=noted)
