"""A fit of muon tracks to first-hit times, with straight light and a measured correction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from rootloom.baselines.base import Data
from rootloom.baselines.tracks import READS, FittedTracks, Tracks, hits_of_rows
from rootloom.errors import require
from rootloom.physics.scintillator.fastest_light import (
    Muon,
    fastest_times,
    fit_correction,
    uncorrected,
)
from rootloom.physics.scintillator.pmts import latitude_rings
from rootloom.physics.scintillator.track_fit import fit_times
from rootloom.physics.scintillator.track_squares import make_hits
from rootloom.types import dense


@dataclass(frozen=True)
class FastestLight(Tracks):
    """Entry point and direction from a fit that knows only the detector's geometry.

    Lengths in m. radius: of the scintillator's sphere. pmt_sphere: radius of the sphere of the
    PMTs. rings: latitude rings of PMTs. equator: PMTs of the longest ring. index: refractive index,
    as if all light stayed in the scintillator (1.485 in JUNO's fit). max_rows: muons of
    the training split used for the correction of first-hit times; 0: no correction.
    """

    name: ClassVar[str] = "baseline 'fastest_light'"

    radius: float = 17.7
    pmt_sphere: float = 19.5
    rings: int = 117
    equator: int = 235
    index: float = 1.485
    max_rows: int = 5000

    def __post_init__(self) -> None:
        more = f"more than the radius, {self.radius:g}"
        require(f"{self.name}: radius", self.radius > 0, "above 0", self.radius)
        require(f"{self.name}: pmt_sphere", self.pmt_sphere > self.radius, more, self.pmt_sphere)
        require(f"{self.name}: rings", self.rings > 0, "above 0", self.rings)
        require(f"{self.name}: equator", self.equator > 0, "above 0", self.equator)
        require(f"{self.name}: index", self.index > 1, "above 1", self.index)
        require(f"{self.name}: max_rows", self.max_rows >= 0, "0 or more", self.max_rows)

    def learn(self, data: Data) -> FittedTracks:
        """See `Baseline`; corrects first-hit times by the first muons of the training split."""
        order = self.order(data.targets)
        pmts = latitude_rings(self.rings, self.equator).direction
        bare = uncorrected(self.radius, self.pmt_sphere, self.index)
        model = fit_correction(bare, self._muons(data, pmts, np.argsort(order)))
        return FittedTracks(
            self.name,
            tuple(data.targets),
            order,
            self.splits,
            pmts,
            partial(fit_times, fastest_times(model), self.radius),
            parameters=2 * model.correction.size if model.muons else 0,
            rows=model.muons,
        )

    def _muons(self, data: Data, pmts: np.ndarray, order: np.ndarray) -> Iterator[Muon]:
        """At most `max_rows` of the training split, without those of no weight."""
        left = self.max_rows
        for columns, truth in data.rows("train", READS) if left else ():
            weight = dense(columns, "weight")
            for row, hits in enumerate(hits_of_rows(columns, len(truth), pmts, self.name)):
                if weight[row] == 0:
                    continue
                entry, direction = np.split(truth[row, order].astype(np.float64), 2)
                exit_point = entry - 2.0 * (entry @ direction) * direction
                yield Muon(entry, exit_point, make_hits(*hits))
                left -= 1
                if not left:
                    return
