"""What the page says besides results: texts of the configuration, as the job is given them.

The stage describes its job with these classes, so this module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass

from rootloom.config.sections import Fields


@dataclass(frozen=True, kw_only=True)
class DatasetWords:
    """Texts on a dataset for the page.

    size: of a simulated one, else None. definitions: rows and their quantities; weights:
    expressions of weights; both from its file. weighting: fields of `Weighting`.
    """

    dataset: str
    dataset_description: str
    size: str | None
    definitions: Fields
    weighting: Fields
    weights: Fields


@dataclass(frozen=True, kw_only=True)
class OtherDatasetWords(DatasetWords):
    """A dataset other than the nominal one. role: "evaluate" or "score".

    friends: folder of its friend trees.
    """

    role: str
    friends: str


@dataclass(frozen=True, kw_only=True)
class PageWords(DatasetWords):
    """Texts for the page, among them those on the nominal dataset.

    networks: member numbers by method. images: names of representations by their titles.
    expected: published or earlier metrics to compare with, fields of `inputs.Expected`.
    others: fields of `OtherDatasetWords`.
    """

    experiment: str
    title: str
    description: str
    methods: list[str]
    networks: dict[str, list[int]]
    images: dict[str, str]
    representations: dict[str, Fields]
    expected: list[Fields]
    others: list[Fields]
