"""Report inputs from the files of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rootloom.config import registry
from rootloom.errors import DataError
from rootloom.evaluation.results import Evaluation, read_evaluation
from rootloom.report.definitions import definitions, facts
from rootloom.report.inputs import (
    ClassImages,
    DatasetSummary,
    Distribution,
    Expected,
    History,
    OtherDataset,
    ReportInputs,
    read_exported,
    read_history,
)
from rootloom.report.section import DatasetWords, OtherDatasetWords, PageWords
from rootloom.report.weight_rows import summarise_weights
from rootloom.representations.base import Panel, Representation
from rootloom.shards.manifest import Manifest
from rootloom.shards.statistics import Statistics
from rootloom.shards.survey import Survey
from rootloom.shards.weights import Weighting
from rootloom.system.provenance import other_versions, read
from rootloom.types import SPLITS

Scales = Mapping[str, float]  # of event weights, by sample


def gather(
    job: Mapping[str, Any],
    about: PageWords,
    *,
    evaluations: Sequence[str],
    histories: Sequence[str],
    models: Sequence[str],
    statistics: Sequence[str],
    surveys: Sequence[str],
    manifests: Sequence[str],
    exported: Sequence[str],
) -> ReportInputs:
    """Collect everything that the page shows.

    job: for the provenance. about: its texts. evaluations: of all methods, dataset by dataset.
    statistics, surveys: of every representation, in the order of `about.representations`, whose
    row counts agree; then statistics of each other dataset. manifests: of all packs. exported: of
    the members that are.
    """
    names, methods = list(about.representations), len(about.methods)
    found = {
        name: Statistics.read(path)
        for name, path in zip(names, statistics[: len(names)], strict=True)
    }
    of_dataset = _by_dataset(manifests)
    seen = {
        name: Survey.read(path) for name, path in zip(about.representations, surveys, strict=True)
    }
    scales = {name: _scales(about, one) for name, one in found.items()}
    results = [read_evaluation(Path(path)) for path in evaluations]
    nominal, of_others = results[:methods], results[methods:]
    return ReportInputs(
        title=about.title,
        description=about.description,
        evaluations=nominal,
        dataset=replace(
            _dataset(about, next(iter(found.values())), seen, scales, of_dataset[about.dataset]),
            examples=_examples(about, seen),
        ),
        images=_averages(about, seen, scales),
        histories=_histories(about, histories),
        expected=[Expected(**entry) for entry in about.expected],
        provenance=_provenance(job, results),
        others=list(_others(about, statistics[len(names) :], of_others, of_dataset)),
        other_versions=_other_versions([*models, *statistics, *evaluations]),
        exported=[one for path in exported for one in read_exported(path)],
    )


def _by_dataset(manifests: Sequence[str]) -> dict[str, list[str]]:
    """Manifests of packs by the dataset that they say they are of."""
    found: dict[str, list[str]] = {}
    for path in manifests:
        made_by = read(Path(path))
        if made_by is None:
            raise DataError(path, expected="a manifest that says of which dataset", found="none")
        found.setdefault(made_by["section"]["dataset"], []).append(path)
    return found


def _others(
    about: PageWords,
    statistics: Sequence[str],
    results: Sequence[Evaluation],
    manifests: Mapping[str, Sequence[str]],
) -> Iterator[OtherDataset]:
    """The datasets beside the nominal one. results: of all methods, dataset by dataset."""
    left = iter(results)
    known = [replace(one, read="") for one in definitions(about.definitions)]
    for fields, path in zip(about.others, statistics, strict=True):
        of = OtherDatasetWords(**fields)
        methods = len(about.methods) if of.role == "evaluate" else 0
        summary = _dataset(of, Statistics.read(path), {}, {}, manifests[of.dataset])
        own = [one for one in summary.definitions if replace(one, read="") not in known]
        summary = replace(summary, definitions=own)
        yield OtherDataset(of.dataset, summary, list(islice(left, methods)), of.friends)


def _scales(about: PageWords, statistics: Statistics) -> Scales:
    return Weighting.of(about.weighting).scales(statistics.samples)


def _dataset(
    about: DatasetWords,
    statistics: Statistics,
    surveys: Mapping[str, Survey],
    scales: Mapping[str, Scales],
    manifests: Sequence[str],
) -> DatasetSummary:
    trains = not isinstance(about, OtherDatasetWords)
    size = f" (size {about.size})" if about.size else ""
    return DatasetSummary(
        name=about.dataset + size,
        description=about.dataset_description,
        rows=_by_split(statistics.classes, statistics.rows),
        unclassified=statistics.unclassified,
        weights=summarise_weights(about, statistics, trains=trains),
        facts=facts(about.definitions),
        definitions=definitions(about.definitions),
        distributions=_distributions(surveys, scales),
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


def _panels(about: PageWords, name: str) -> tuple[Panel, ...]:
    fields = about.representations[name]
    kind = {key: value for key, value in fields.items() if key != "name"}
    representation: Representation = registry.build("representations", kind)
    return representation.panels()


def _averages(
    about: PageWords, surveys: Mapping[str, Survey], scales: Mapping[str, Scales]
) -> list[ClassImages]:
    shown = []
    for title, name in about.images.items():
        pixels = surveys[name].mean(scales[name])
        named = dict(zip(surveys[name].classes, pixels, strict=True))
        shown += _images(title, _panels(about, name), named, "mean ")
    return shown


def _examples(about: PageWords, surveys: Mapping[str, Survey]) -> list[ClassImages]:
    shown = []
    for name, survey in surveys.items():
        pixels = {label: one.pixels for label, one in survey.examples.items()}
        if pixels:
            ordered = {label: pixels[label] for label in survey.classes if label in pixels}
            shown += _images(name, _panels(about, name), ordered)
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


def _histories(about: PageWords, histories: Sequence[str]) -> list[History]:
    members = [(m, k) for m, numbers in about.networks.items() for k in numbers]
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


def _provenance(job: Mapping[str, Any], results: Sequence[Evaluation]) -> dict[str, Any]:
    shown: dict[str, Any] = {"report": dict(job)}
    for result in results:
        section = result.provenance.get("section")
        of = section.get("dataset", "") if isinstance(section, Mapping) else ""
        name = result.method if result.method not in shown else f"{result.method} on {of}"
        shown[name] = dict(result.provenance)
    return shown
