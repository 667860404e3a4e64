"""A fit of muons' tracks to the first-hit times of photomultipliers around a sphere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from rootloom.baselines.base import Data
from rootloom.errors import ConfigError, DataError
from rootloom.physics.optics import Optics
from rootloom.physics.photons import DELAY_STEP, trace
from rootloom.physics.pmts import arrival_times, latitude_rings
from rootloom.physics.track_fit import fit_track
from rootloom.physics.track_light import TrackModel, track_model
from rootloom.types import Column, Ragged

_READS = ("sphere.pmt", "sphere.charge", "sphere.time")


@dataclass(frozen=True)
class TrackFit:
    """Entry point and direction by `physics.track_fit`, from what is known of a detector's optics.

    It learns nothing from the training split. It reads the hits that the representation pmt_sphere
    stores. entry, direction: the targets that are x, y and z of them, and all there are.
    radius, pmt_sphere: of the scintillator and of the PMTs, m; rings, equator: see pmt_sphere.
    index, water_index: refractive. absorption, scattering, water_attenuation: mean free paths, m.
    decay_times, decay_shares: of the scintillator, ns; transit_time_spread: of a PMT, ns.
    """

    learns: ClassVar[str] = "targets"

    entry: tuple[str, str, str] = ("entry_x", "entry_y", "entry_z")
    direction: tuple[str, str, str] = ("direction_x", "direction_y", "direction_z")
    radius: float = 17.7
    pmt_sphere: float = 19.5
    rings: int = 117
    equator: int = 235
    index: float = 1.49
    water_index: float = 1.33
    absorption: float = 68.8
    scattering: float = 28.2
    water_attenuation: float = 60.0
    decay_times: tuple[float, ...] = (4.9, 20.6, 190.0)
    decay_shares: tuple[float, ...] = (0.80, 0.17, 0.03)
    transit_time_spread: float = 3.0

    def __post_init__(self) -> None:
        positive = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("entry", "direction")
        }
        for name, value in positive.items():
            _require(name, bool(np.all(np.asarray(value) > 0)), "above 0", value)
        larger = f"more than the radius, {self.radius:g}"
        _require("pmt_sphere", self.pmt_sphere > self.radius, larger, self.pmt_sphere)
        same = len(self.decay_times) == len(self.decay_shares)
        _require("decay_shares", same, "a share for each decay time", self.decay_shares)

    def learn(self, data: Data) -> FittedTracks:
        """See `Baseline`; traces the detector's light once."""
        wanted = (*self.entry, *self.direction)
        known = set(wanted) == set(data.targets) and len(set(wanted)) == len(wanted)
        _require("entry, direction", known, f"the targets {', '.join(data.targets)}", wanted)
        order = tuple(wanted.index(name) for name in data.targets)
        pmts = latitude_rings(self.rings, self.equator).direction
        return FittedTracks(tuple(data.targets), order, pmts, self._model())

    def _model(self) -> TrackModel:
        optics = Optics(
            self.radius,
            self.pmt_sphere,
            self.index,
            self.water_index,
            self.absorption,
            self.scattering,
            self.water_attenuation,
        )
        light = trace(optics)
        shares = np.array(self.decay_shares)
        arrivals = arrival_times(
            np.array(self.decay_times),
            shares / shares.sum(),
            self.transit_time_spread,
            light.delays,
            DELAY_STEP,
        )
        return track_model(self.radius, light.table, arrivals)


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
        pmt, charge, time = (_ragged(columns, name) for name in _READS)
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


def _ragged(columns: Mapping[str, Column], name: str) -> Ragged:
    column = columns[name]
    assert isinstance(column, Ragged)
    return column


def _require(field: str, holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise ConfigError(f"baseline 'track_fit': {field}", expected=expected, found=str(found))
