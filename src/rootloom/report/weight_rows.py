"""The weights of a dataset, from its statistics to rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rootloom.report.rounding import grouped, percent
from rootloom.report.section import DatasetWords
from rootloom.report.weights import ClassRow, SampleRow, WeightsSummary
from rootloom.shards.statistics import Statistics
from rootloom.shards.weights import Weighting, WeightTable
from rootloom.types import SPLITS


def summarise_weights(
    about: DatasetWords, statistics: Statistics, *, trains: bool = True
) -> WeightsSummary:
    """Summarise the weights of a dataset; without training weights unless it `trains`.

    about: its `weights` are "event", "training", "luminosity" and "samples" (class and cross
    section by name).
    """
    weighting, words = Weighting.of(about.weighting), about.weights
    scales, table = weighting.scales(statistics.samples), None
    if trains:
        table = WeightTable.from_statistics(statistics, dataset=about.dataset, weighting=weighting)
    return WeightsSummary(
        event=_event(words, bool(weighting.samples)),
        training=_training(words, weighting) if trains else "",
        classes=tuple(_class_rows(statistics, scales, table)),
        samples=tuple(_sample_rows(words, statistics, scales)),
        capped=tuple(table.shortfalls()) if table else (),
    )


def _event(words: Mapping[str, Any], scaled: bool) -> str:
    own = {of["weight"] for of in words["samples"].values()}
    text = (words["event"] or "1") if own <= {words["event"]} else "weight of the sample"
    if not scaled:
        return text
    luminosity = f"{words['luminosity']:g} fb⁻¹"
    return f"{text}, times cross section × {luminosity} / Σw before the selection, by sample"


def _training(words: Mapping[str, Any], weighting: Weighting) -> str:
    base = words["training"] or "event weight"
    if words["training"] and weighting.samples:
        base += ", not scaled to cross sections"
    text = f"|{base}|" if weighting.negative == "absolute" else base
    if isinstance(weighting.balance, Mapping):
        shares = ", ".join(f"{name}: {share:g}" for name, share in weighting.balance.items())
        text += f" × balance of the classes ({shares})"
    elif weighting.balance:
        text += " × balance of the classes"
    if weighting.reweight:
        variables, target = weighting.reweight.variables, weighting.reweight.target
        text += f" × reweighting in {', '.join(variables)} (target: {target})"
    return text


def _class_rows(
    statistics: Statistics, scales: Mapping[str, float], table: WeightTable | None
) -> list[ClassRow]:
    rows, negative = statistics.rows, statistics.negative
    weights, squares = statistics.weights(scales), statistics.squares(scales)
    effective = np.divide(weights**2, squares, out=np.zeros_like(squares), where=squares > 0)
    found = []
    for s, split in enumerate(SPLITS):
        if table is None and not rows[s].any():
            continue  # most of a dataset that does not train is in one split
        for k, label in enumerate(statistics.classes):
            share = negative[s, k] / rows[s, k] if rows[s, k] else 0.0
            training = grouped(round(table.effective[k])) if table and s == 0 else "–"
            found.append(
                ClassRow(
                    split=split,
                    label=label,
                    rows=grouped(int(rows[s, k])),
                    total=f"{weights[s, k]:.5g}",
                    effective=grouped(round(float(effective[s, k]))),
                    negative=percent(share) if share else "none",
                    training=training,
                )
            )
    return found


def _sample_rows(
    words: Mapping[str, Any], statistics: Statistics, scales: Mapping[str, float]
) -> list[SampleRow]:
    found = []
    for name, of in words["samples"].items():
        sums = statistics.samples.get(name)
        if sums is None:
            continue
        cross = of["cross_section"]
        found.append(
            SampleRow(
                name=name or "all files",
                label=of["class"] or "by expression" if name else "all",
                weight=of["weight"] or "1",
                entries=grouped(sums.entries),
                sum_of_weights=f"{sums.sum_of_weights:.6g}"
                if np.isfinite(sums.sum_of_weights)
                else "–",
                cross_section="–" if cross is None else f"{cross:g} pb",
                scale=f"{scales[name]:.5g}",
                rows=grouped(int(sums.rows.sum())),
                selected=f"{scales[name] * float(sums.weight.sum()):.5g}",
            )
        )
    return found
