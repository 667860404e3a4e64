"""Base of the baselines that fit a muon's track to the hits of photomultipliers around a sphere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from rootloom.baselines.base import Baseline
from rootloom.errors import DataError, require
from rootloom.physics.scintillator.track_fit import TrackFit
from rootloom.representations.base import ragged
from rootloom.types import Column

READS = ("sphere.pmt", "sphere.charge", "sphere.time")
Hits = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Tracks(Baseline):
    """Fields of a baseline that fits tracks.

    entry, direction: the targets that are x, y and z of entry point and direction; there may be no
    others. splits: whose rows are fitted (milliseconds each); by default those that are evaluated.
    Predictions of all other rows are NaN, in friend trees as well.
    """

    name: ClassVar[str]
    learns: ClassVar[str] = "targets"
    # The representation must store the hits.
    requires: ClassVar[Mapping[str, object]] = {"kind": "pmt_sphere", "pool": [1, 1]}

    entry: tuple[str, str, str] = ("entry_x", "entry_y", "entry_z")
    direction: tuple[str, str, str] = ("direction_x", "direction_y", "direction_z")
    splits: tuple[Literal["train", "validation", "test"], ...] = ("test",)

    def order(self, targets: Sequence[str]) -> tuple[int, ...]:
        """Position of each target among the components of entry and direction.

        Raises ConfigError for other targets.
        """
        wanted = (*self.entry, *self.direction)
        known = set(wanted) == set(targets) and len(set(wanted)) == len(wanted)
        expected = f"the targets {', '.join(targets)}"
        require(f"{self.name}: entry, direction", known, expected, wanted)
        return tuple(wanted.index(target) for target in targets)


@dataclass(frozen=True)
class FittedTracks:
    """A `Predictor` that fits one event after another.

    order: of entry's and direction's components in the columns. pmts: (P, 3) unit vectors; fit: a
    function of unit vectors to PMTs (H, 3), charges and times (H,) that returns a track.
    """

    name: str
    columns: tuple[str, ...]
    order: tuple[int, ...]
    splits: tuple[str, ...]
    pmts: np.ndarray
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray], TrackFit]
    parameters: int = 0
    rows: int = 0
    reads: ClassVar[tuple[str, ...]] = READS
    turned: ClassVar[tuple[str, ...]] = ()
    probability: ClassVar[bool] = False

    def predict(self, columns: Mapping[str, Column], rows: int) -> np.ndarray:
        """(R, 6) float32; see `Predictor`. Raises DataError for a number that is no PMT's."""
        found = np.empty((rows, 6), np.float32)
        for row, hits in enumerate(hits_of_rows(columns, rows, self.pmts, self.name)):
            track = self.fit(*hits)
            found[row] = np.concatenate([track.entry, track.direction])[list(self.order)]
        return found


def hits_of_rows(
    columns: Mapping[str, Column], rows: int, pmts: np.ndarray, name: str
) -> Iterator[Hits]:
    """Unit vectors (H, 3), charges and times (H,) of the hits of each row.

    Raises DataError for a number that is no PMT's.
    """
    pmt, charge, time = (ragged(columns, column) for column in READS)
    if len(pmt.values) and int(pmt.values.max()) >= len(pmts):
        raise DataError(
            f"{name}: hits",
            expected=f"PMTs 0 … {len(pmts) - 1}",
            found=str(int(pmt.values.max())),
            fix="give it the detector's `rings` and `equator`",
        )
    for row in range(rows):
        part = slice(pmt.offsets[row], pmt.offsets[row + 1])
        yield pmts[pmt.values[part]], charge.values[part], time.values[part]
