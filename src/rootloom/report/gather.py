"""Report inputs from the files of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.config import registry
from rootloom.evaluation.results import Evaluation, read_evaluation
from rootloom.report.definitions import definitions, facts
from rootloom.report.inputs import (
    ClassImages,
    DatasetSummary,
    Distribution,
    Expected,
    History,
    ReportInputs,
    read_history,
)
from rootloom.report.weight_rows import summarise_weights
from rootloom.representations.base import Panel, Representation
from rootloom.shards.manifest import Manifest
from rootloom.shards.statistics import Statistics
from rootloom.shards.survey import Survey
from rootloom.shards.weights import Weighting
from rootloom.system.provenance import other_versions, read
from rootloom.types import SPLITS

Job = Mapping[str, Any]
Scales = Mapping[str, float]  # of event weights, by sample


def gather(
    job: Job,
    *,
    evaluations: Sequence[str],
    histories: Sequence[str],
    models: Sequence[str],
    statistics: Sequence[str],
    surveys: Sequence[str],
    manifests: Sequence[str],
) -> ReportInputs:
    """Collect everything that the page shows.

    statistics, surveys: of every representation, in the order of the section's `representations`;
    the statistics' row counts agree. manifests: of all their packs.
    """
    section = job["section"]
    found = {
        name: Statistics.read(path)
        for name, path in zip(section["representations"], statistics, strict=True)
    }
    seen = {
        name: Survey.read(path)
        for name, path in zip(section["representations"], surveys, strict=True)
    }
    scales = {name: _scales(section, one) for name, one in found.items()}
    results = [read_evaluation(Path(path)) for path in evaluations]
    return ReportInputs(
        title=section["title"],
        description=section["description"],
        evaluations=results,
        dataset=_dataset(section, next(iter(found.values())), seen, scales, manifests),
        images=_averages(section, seen, scales),
        histories=_histories(section, histories),
        expected=[Expected(**entry) for entry in section["expected"]],
        provenance=_provenance(job, results),
        other_versions=_other_versions([*models, *statistics, *evaluations]),
    )


def _scales(section: Job, statistics: Statistics) -> Scales:
    return Weighting.of(section["weighting"]).scales(statistics.samples)


def _dataset(
    section: Job,
    statistics: Statistics,
    surveys: Mapping[str, Survey],
    scales: Mapping[str, Scales],
    manifests: Sequence[str],
) -> DatasetSummary:
    size = f" (size {section['size']})" if section["size"] else ""
    return DatasetSummary(
        name=section["dataset"] + size,
        description=section["dataset_description"],
        rows=_by_split(statistics.classes, statistics.rows),
        unclassified=statistics.unclassified,
        weights=summarise_weights(section, statistics),
        facts=facts(section["definitions"]),
        definitions=definitions(section["definitions"]),
        distributions=_distributions(surveys, scales),
        examples=_examples(section, surveys),
        **_files_in(manifests),
    )


def _files_in(manifests: Sequence[str]) -> dict[str, Any]:
    """The fields of a `DatasetSummary` on files, from manifests of one or several representations.

    Files are counted by their keys, because several trees of one file may be samples.
    """
    sizes: dict[str, int] = {}
    urls: dict[str, str] = {}
    aside: dict[str, str] = {}
    for path in manifests:
        for key, entry in Manifest.read(path).files.items():
            sizes[key], urls[key] = max(entry.bytes, sizes.get(key, 0)), entry.url
            if entry.quarantined:
                aside[key] = entry.quarantined
    trees = Counter(urls.values())
    named = {key: url if trees[url] == 1 else f"{url} ({key})" for key, url in urls.items()}
    return {
        "files": len(sizes),
        "quarantined": dict(sorted((named[key], reason) for key, reason in aside.items())),
        "quarantined_share": len(aside) / len(sizes),
        "quarantined_bytes": sum(sizes[key] for key in aside) / max(1, sum(sizes.values())),
    }


def _by_split(classes: Sequence[str], values: np.ndarray) -> dict[str, dict[str, Any]]:
    return {
        split: dict(zip(classes, row, strict=True))
        for split, row in zip(SPLITS, values.tolist(), strict=True)
    }


def _distributions(
    surveys: Mapping[str, Survey], scales: Mapping[str, Scales]
) -> dict[str, list[Distribution]]:
    """Distributions by representation, without those that an earlier one has."""
    shown: dict[str, list[Distribution]] = {}
    for of, survey in surveys.items():
        before = [one for several in shown.values() for one in several]
        found = [
            Distribution(name, one.edges, one.scaled(scales[of]))
            for name, one in survey.spectra.items()
            if one.sums
        ]
        shown[of] = [one for one in found if not any(_same(one, other) for other in before)]
    return {of: found for of, found in shown.items() if found}


def _same(one: Distribution, other: Distribution) -> bool:
    return (
        one.name == other.name
        and np.array_equal(one.edges, other.edges)
        and np.array_equal(one.sums, other.sums)
    )


def _panels(section: Job, name: str) -> tuple[Panel, ...]:
    fields = section["representations"][name]
    kind = {key: value for key, value in fields.items() if key != "name"}
    representation: Representation = registry.build("representations", kind)
    return representation.panels()


def _averages(
    section: Job, surveys: Mapping[str, Survey], scales: Mapping[str, Scales]
) -> list[ClassImages]:
    shown = []
    for title, name in section["images"].items():
        pixels = surveys[name].mean(scales[name])
        named = dict(zip(surveys[name].classes, pixels, strict=True))
        shown += _images(title, _panels(section, name), named, "mean ")
    return shown


def _examples(section: Job, surveys: Mapping[str, Survey]) -> list[ClassImages]:
    shown = []
    for name, survey in surveys.items():
        pixels = {label: one.pixels for label, one in survey.examples.items()}
        if pixels:
            ordered = {label: pixels[label] for label in survey.classes if label in pixels}
            shown += _images(name, _panels(section, name), ordered)
    return shown


def _images(
    title: str, panels: Sequence[Panel], pixels: Mapping[str, np.ndarray], word: str = ""
) -> list[ClassImages]:
    """One group per panel, from the pixels (P,) of all panels of each class."""
    shown, first = [], 0
    for panel in panels:
        of_panel = slice(first, first := first + panel.pixels)
        shown.append(
            ClassImages(
                title=f"{title}, {panel.title}" if panel.title else title,
                panel=replace(panel, quantity=word + panel.quantity),
                images={name: of[of_panel].reshape(panel.shape) for name, of in pixels.items()},
            )
        )
    return shown


def _histories(section: Job, histories: Sequence[str]) -> list[History]:
    members = [(m, k) for m, numbers in section["networks"].items() for k in numbers]
    return [
        read_history(path, method, member)
        for path, (method, member) in zip(histories, members, strict=True)
    ]


def _other_versions(results: Sequence[str]) -> list[str]:
    """Lines on results that were made with other versions of packages than the present ones."""
    found: dict[str, list[str]] = {}
    for path in results:
        for name, (then, now) in other_versions(read(Path(path)) or {}).items():
            found.setdefault(f"{name} {then} (now {now})", []).append(path)
    return [f"{words}: {', '.join(paths)}" for words, paths in found.items()]


def _provenance(job: Job, results: Sequence[Evaluation]) -> dict[str, Any]:
    shown: dict[str, Any] = {"report": dict(job)}
    shown |= {result.method: dict(result.provenance) for result in results}
    return shown
