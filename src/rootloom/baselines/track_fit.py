"""A fit of muons' tracks to the first-hit times of photomultipliers around a sphere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rootloom.baselines.base import Data
from rootloom.errors import DataError, require
from rootloom.physics.scintillator import Scintillator
from rootloom.physics.track_fit import fit_track
from rootloom.physics.track_light import TrackModel, track_model
from rootloom.representations.base import ragged
from rootloom.types import Column

_READS = ("sphere.pmt", "sphere.charge", "sphere.time")


@dataclass(frozen=True)
class TrackFit(Scintillator):
    """Entry point and direction by `physics.track_fit`, from what is known of a detector's optics.

    It learns nothing from the training split. It reads the hits that the representation pmt_sphere
    stores. entry, direction: the targets that are x, y and z of them, and all there are.
    The other fields are those of `Scintillator`.
    """

    name: ClassVar[str] = "baseline 'track_fit'"
    learns: ClassVar[str] = "targets"

    entry: tuple[str, str, str] = ("entry_x", "entry_y", "entry_z")
    direction: tuple[str, str, str] = ("direction_x", "direction_y", "direction_z")

    def learn(self, data: Data) -> FittedTracks:
        """See `Baseline`; traces the detector's light once."""
        wanted = (*self.entry, *self.direction)
        known = set(wanted) == set(data.targets) and len(set(wanted)) == len(wanted)
        expected = f"the targets {', '.join(data.targets)}"
        require(f"{self.name}: entry, direction", known, expected, wanted)
        order = tuple(wanted.index(name) for name in data.targets)
        model = track_model(self.radius, self.light.table, self.arrivals)
        return FittedTracks(tuple(data.targets), order, self.layout.direction, model)


@dataclass(frozen=True)
class FittedTracks:
    """Fits event after event. order: of entry's and direction's components in the columns."""

    columns: tuple[str, ...]
    order: tuple[int, ...]
    pmts: np.ndarray  # (P, 3)
    model: TrackModel
    reads: ClassVar[tuple[str, ...]] = _READS
    parameters: ClassVar[int] = 0
    rows: ClassVar[int] = 0

    def predict(self, columns: Mapping[str, Column], rows: int) -> np.ndarray:
        """(R, 6) float32; see `Predictor`. Raises DataError for a number that is no PMT's."""
        pmt, charge, time = (ragged(columns, name) for name in _READS)
        self._require_pmts(pmt.values)
        found = np.empty((rows, 6), np.float32)
        for row in range(rows):
            hits = slice(pmt.offsets[row], pmt.offsets[row + 1])
            where = self.pmts[pmt.values[hits]]
            track = fit_track(self.model, where, charge.values[hits], time.values[hits])
            found[row] = np.concatenate([track.entry, track.direction])[list(self.order)]
        return found

    def _require_pmts(self, numbers: np.ndarray) -> None:
        if len(numbers) and int(numbers.max()) >= len(self.pmts):
            raise DataError(
                "baseline 'track_fit': hits",
                expected=f"PMTs 0 … {len(self.pmts) - 1}",
                found=str(int(numbers.max())),
                fix="give it the detector's `rings` and `equator`",
            )
