"""Report inputs from the files of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.evaluation.results import Evaluation, read_evaluation
from rootloom.report.inputs import (
    AverageImages,
    DatasetSummary,
    Expected,
    History,
    ReportInputs,
    read_history,
)
from rootloom.report.weight_rows import summarise_weights
from rootloom.shards.manifest import Manifest
from rootloom.shards.statistics import Statistics
from rootloom.shards.weights import Weighting
from rootloom.types import SPLITS

Job = Mapping[str, Any]


def gather(
    job: Job,
    *,
    evaluations: Sequence[str],
    histories: Sequence[str],
    statistics: Sequence[str],
    manifests: Sequence[str],
) -> ReportInputs:
    """Everything the page shows.

    statistics: of every representation, in the order of the section's `representations`; their row
    counts agree, their class means are the average images. manifests: of all their packs.
    """
    section = job["section"]
    found = {
        name: Statistics.read(path)
        for name, path in zip(section["representations"], statistics, strict=True)
    }
    results = [read_evaluation(Path(path)) for path in evaluations]
    return ReportInputs(
        title=section["title"],
        description=section["description"],
        evaluations=results,
        dataset=_dataset(section, next(iter(found.values())), manifests),
        images=_images(section, found),
        histories=_histories(section, histories),
        expected=[Expected(**entry) for entry in section["expected"]],
        provenance=_provenance(job, results),
    )


def _dataset(section: Job, statistics: Statistics, manifests: Sequence[str]) -> DatasetSummary:
    sizes: dict[str, int] = {}
    quarantined: dict[str, str] = {}
    for path in manifests:
        for entry in Manifest.read(path).files.values():
            sizes[entry.url] = entry.bytes
            if entry.quarantined:
                quarantined[entry.url] = entry.quarantined
    size = f" (size {section['size']})" if section["size"] else ""
    return DatasetSummary(
        name=section["dataset"] + size,
        description=section["dataset_description"],
        rows=_by_split(statistics.classes, statistics.rows),
        weights=summarise_weights(section, statistics),
        files=len(sizes),
        quarantined=dict(sorted(quarantined.items())),
        quarantined_share=len(quarantined) / len(sizes),
        quarantined_bytes=sum(sizes[url] for url in quarantined) / max(1, sum(sizes.values())),
    )


def _by_split(classes: Sequence[str], values: np.ndarray) -> dict[str, dict[str, Any]]:
    return {
        split: dict(zip(classes, row, strict=True))
        for split, row in zip(SPLITS, values.tolist(), strict=True)
    }


def _images(section: Job, statistics: Mapping[str, Statistics]) -> list[AverageImages]:
    titles = {"before": "before preprocessing", "after": "after preprocessing"}
    shown = []
    for moment, name in (section["images"] or {}).items():
        half = section["image_half_width"][name]
        of = statistics[name]
        scales = Weighting.of(section["weighting"]).scales(of.samples)
        means = of.means("x", scales)
        side = math.isqrt(means.shape[1] // section["image_channels"][name])
        images = means.reshape(len(means), side, side, -1)[..., 0]
        shown.append(
            AverageImages(
                title=f"Average images {titles[moment]}",
                extent=(-half, half, -half, half),
                images=dict(zip(statistics[name].classes, images, strict=True)),
            )
        )
    return shown


def _histories(section: Job, histories: Sequence[str]) -> list[History]:
    members = [(m, k) for m, numbers in section["networks"].items() for k in numbers]
    return [
        read_history(path, method, member)
        for path, (method, member) in zip(histories, members, strict=True)
    ]


def _provenance(job: Job, results: Sequence[Evaluation]) -> dict[str, Any]:
    shown: dict[str, Any] = {"report": dict(job)}
    shown |= {result.method: dict(result.provenance) for result in results}
    return shown
