"""A fit of muon tracks to first-hit times, with a model of the detector's optics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rootloom.baselines.base import Data
from rootloom.baselines.tracks import FittedTracks, Tracks
from rootloom.physics.scintillator.detector import Scintillator
from rootloom.physics.scintillator.track_fit import fit_times, fit_track, median_times
from rootloom.physics.scintillator.track_light import track_model


@dataclass(frozen=True)
class TrackFit(Tracks, Scintillator):
    """Entry point and direction from a fit that knows the optics given by these fields.

    It learns nothing from the training split. likelihood: of the first photoelectrons; without it
    their median times are fitted by least squares. The fields of `Scintillator` are the optics that
    the fit assumes; where they differ from the simulation's, the fit is biased.
    """

    name: ClassVar[str] = "baseline 'track_fit'"

    likelihood: bool = True

    def learn(self, data: Data) -> FittedTracks:
        """See `Baseline`; traces the detector's light once."""
        order = self.order(data.targets)
        model = track_model(self.radius, self.light.table, self.arrivals)
        by_times = partial(fit_times, median_times(model), self.radius)
        return FittedTracks(
            self.name,
            tuple(data.targets),
            order,
            self.splits,
            self.layout.direction,
            partial(fit_track, model) if self.likelihood else by_times,
        )
