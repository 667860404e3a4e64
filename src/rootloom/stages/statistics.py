"""Merge the statistics of all packs; refuse those with which training or evaluation would fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rootloom.config.sections import Fields
from rootloom.errors import DataError
from rootloom.planning.stage import Description, Job, Planning, Stage
from rootloom.stages import moments as summing
from rootloom.stages import preprocess
from rootloom.stages.shared import division, write_sums
from rootloom.system.atomic import read_json
from rootloom.types import SPLITS

if TYPE_CHECKING:
    from rootloom.rootio.origin import Events
    from rootloom.shards.statistics import Statistics


@dataclass(frozen=True, kw_only=True)
class Section:
    """moments: the section of those that are merged. by_class: whether every class needs rows."""

    dataset: str
    classes: list[str]
    moments: Fields
    by_class: bool


def describe(plan: Planning, dataset: str, representation: str) -> Description:
    """All experiments on a dataset share its statistics: nothing here is of an experiment."""
    moments = summing.section_of(plan, dataset, representation)
    section = Section(
        dataset=dataset,
        classes=moments.classes,
        moments=asdict(moments),
        by_class=not plan.data(dataset).dataset.targets,
    )
    # Moments and shards by what makes them, not by pack: the division of the files does not count.
    code = plan.code(summing.STAGE.run, *summing.code_of(moments))
    shards = preprocess.fingerprint_of(
        plan, dataset, representation, plan.files(dataset).listing.digest
    )
    return Description(section, upstream=[code, shards])


def run(
    job: Job,
    *,
    moments: Sequence[str],
    output: str,
    weighting: Fields | None = None,
    role: str = "train",
) -> None:
    """Merge the statistics of all packs; refuse those that do not suffice for the role.

    weighting: how weights follow from what shards hold; None: as they are. role: what rows are
    for, "train", "evaluate" or "score". Both decide whether the sums are refused and none of them.

    It is the first to see all files: two with the same events, in whatever packs, are refused.
    """
    from rootloom.rootio.origin import require_distinct
    from rootloom.shards.merging import merge_by_position
    from rootloom.shards.populated import require_populated, require_tested
    from rootloom.shards.weights import Weighting

    section = Section(**job["section"])
    found: list[Events | None] = []

    def packs() -> Iterator[tuple[int, Statistics]]:
        for path in moments:
            at, part, of_files = read_moments(path)
            found.extend(of_files)
            yield at, part

    total = merge_by_position(packs())
    events = [one for one in found if one]
    require_distinct(events)
    aside, files = len(found) - len(events), len(found)
    some = total.rows.sum() or (role == "score" and total.unclassified)
    if aside and not some:
        raise DataError(
            f"dataset '{section.dataset}'",
            expected="rows that pass the selection and belong to a class",
            found=f"none in any file, {aside} of {files} files were set aside",
            fix="loosen `select`, or check the expressions of the classes and what the logs of "
            "`index` and `preprocess` say of the files; then `rootloom retry`, without which files "
            "that were set aside stay so",
        )
    for number, split in enumerate(SPLITS):
        counts = dict(zip(total.classes, total.rows[number].tolist(), strict=True))
        print(f"{split}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    if role != "score":
        require = require_populated if role == "train" else require_tested
        require(
            total,
            dataset=section.dataset,
            weighting=Weighting.of(weighting) if weighting else Weighting(),
            by_class=section.by_class,
        )
    write_sums(output, total.content(), "statistics", job, division(moments))


def read_moments(path: str) -> tuple[int, Statistics, list[Events | None]]:
    """Where a pack lies among all, its statistics and the events of its files, set aside or not.

    Raises ResultError for a file that is damaged.
    """
    return read_json(path, "the moments of a pack of files", _moments)


def _moments(content: dict[str, Any]) -> tuple[int, Statistics, list[Events | None]]:
    from rootloom.rootio.origin import Events
    from rootloom.shards.statistics import Statistics

    events = [Events(*one) if one else None for one in content["events"]]
    return int(content["position"]), Statistics.of_content(content), events


STAGE = Stage("statistics", f"{__name__}:run", describe, reads=("moments",))
