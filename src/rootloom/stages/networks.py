"""Networks as a job's section describes them: task, batches, model file and scores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from rootloom.batches.draws import Draw, OutsideFold, WithReplacement
from rootloom.batches.loader import Loader
from rootloom.config import registry
from rootloom.errors import FAULTS, TrainingError, reason
from rootloom.representations.section import representation_of
from rootloom.shards.statistics import Statistics
from rootloom.shards.weights import WeightTable
from rootloom.system import faults, provenance
from rootloom.training import bundle, parallel
from rootloom.training.predict import predict
from rootloom.types import SPLITS

if TYPE_CHECKING:
    from rootloom.training.loop import Result
    from rootloom.training.options import TrainingOptions

Job = Mapping[str, Any]
_DESCRIBED = ("model", "representation", "task")
PREDICT_ROWS = 512  # rows a device scores at a time: past that a step no longer gets cheaper


def options_of(section: Job) -> TrainingOptions:
    """Training options of a member: its number is added to the seed."""
    from pydantic import TypeAdapter

    from rootloom.training.options import TrainingOptions

    options = TypeAdapter(TrainingOptions).validate_python(section["training"])
    return dataclasses.replace(options, seed=options.seed + section["member"])


def task_of(section: Job, moments: Mapping[str, Any]) -> Any:
    """The task with its model, for inputs with these moments."""
    kind = registry.resolve("tasks", section["task"]["kind"])
    learned = kind.learns  # type: ignore[attr-defined]
    given = {
        "model": registry.build("models", section["model"]),
        "representation": representation_of(section).centred(moments),
        "statistics": moments,
        learned: section[learned],
    }
    return registry.build("tasks", {**section["task"], **given})


def task_in(trained: bundle.Bundle, path: str, section: Job | None = None) -> Any:
    """The task that a bundle's sections describe, with its model.

    section: has what the bundle has not. Raises TrainingError for sections that describe none,
    ResourceError where the machine is at fault.
    """
    whole = {**(section or {}), **{k: getattr(trained, k) for k in _DESCRIBED}}
    try:
        kind: Any = registry.resolve("tasks", whole["task"]["kind"])
        if section is None:
            whole[kind.learns] = getattr(trained, kind.learns)
        return task_of(whole, moments_of(trained))
    except FAULTS as error:
        faults.pass_on(error, path)
        raise TrainingError(
            path,
            expected="sections and statistics that describe a network of this version",
            found=f"{type(error).__name__}: {reason(error)}",
            fix="take the model.safetensors that a training wrote, unchanged",
        ) from error


def moments_of(trained: bundle.Bundle) -> Mapping[str, Any]:
    """Moments out of the statistics that a model carries."""
    return Statistics.from_json(json.dumps(trained.statistics)).moments


def loaders_of(
    section: Job,
    shards: Sequence[str],
    weights: WeightTable,
    options: TrainingOptions,
    task: Any,
) -> tuple[Loader, Loader]:
    """Shuffled training batches and ordered validation batches, weighted alike."""
    train, validation = (
        Loader(
            shards,
            task.representation,
            split,
            options.batch_size,
            devices=parallel.all_devices(),
            share=parallel.share(),
            seed=options.seed,
            shuffle=split == SPLITS[0],
            weights=weights,
            targets=task.targets,
            draw=draw_of(options, section["member"]) if split == SPLITS[0] else None,
        )
        for split in SPLITS[:2]
    )
    return train, validation


def draw_of(options: TrainingOptions, member: int) -> Draw | None:
    """Which training rows a member sees; None: all of them."""
    if options.folds:
        return OutsideFold(member, options.folds)
    return WithReplacement(options.seed) if options.bagging else None


def write_model(job: Job, found: Statistics, result: Result, seed: int, model: str) -> None:
    """The bundle of a trained network."""
    section = job["section"]
    record = provenance.record("train", dict(job), seed=seed)
    bundle.save(
        model,
        bundle.Bundle(
            params=result.params,
            model=section["model"],
            representation=section["representation"],
            task=section["task"],
            statistics=json.loads(found.to_json()),
            classes=section["classes"],
            metrics=result.summary(),
            provenance=record,
        ),
    )


def network_scores(
    task: Any, params: Any, shards: Sequence[str], split: str
) -> Iterator[np.ndarray]:
    """Scores (r, C) of the rows of a split, or of no class, in the order of the shards."""
    devices = parallel.device_count()
    loader = Loader(
        shards,
        task.representation,
        split,
        PREDICT_ROWS * devices,
        devices=devices,
        shuffle=False,
        cache_bytes=0,
    )
    if split == SPLITS[0]:
        # Once a model: tracing a network takes seconds.
        with closing(loader.epoch(0)) as batches:
            bundle.check(task, params, jax.tree.map(lambda leaf: leaf[0], next(batches)))
    for columns, _ in predict(task, params, loader):
        yield np.stack([columns[name] for name in task.columns()], axis=1)
