"""A sphere of liquid scintillator watched by photomultipliers: its optics."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np

from rootloom.errors import require
from rootloom.physics.scintillator.optics import Optics
from rootloom.physics.scintillator.photons import DELAY_STEP, Light, trace
from rootloom.physics.scintillator.pmts import ArrivalTimes, Layout, arrival_times, latitude_rings


@dataclass(frozen=True)
class Scintillator:
    """Optics of a JUNO-like detector; lengths in m, times in ns.

    radius: of the scintillator's sphere. pmt_sphere: radius of the sphere of the PMTs. rings:
    latitude rings of PMTs. equator: PMTs of the longest ring. index: refractive index of the
    scintillator. water_index: refractive index of the water around it. absorption: mean free path
    of light in the scintillator until it is absorbed; 20 m together with `scattering`. scattering:
    mean free path until it is scattered (linear alkylbenzene at 430 nm: arXiv:1504.00986).
    water_attenuation: mean free path of light in the water. decay_times: of the scintillator's
    components. decay_shares: of the light in each component. transit_time_spread: standard
    deviation of a photoelectron's transit time.
    """

    name: ClassVar[str] = "scintillator"

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
        for field in fields(Scintillator):
            value = getattr(self, field.name)
            require(
                f"{self.name}: {field.name}", bool(np.all(np.asarray(value) > 0)), "above 0", value
            )
        larger = f"more than the radius, {self.radius:g}"
        inside = self.radius < self.pmt_sphere
        require(f"{self.name}: pmt_sphere", inside, larger, self.pmt_sphere)
        same = len(self.decay_times) == len(self.decay_shares)
        expected = "a share for each decay time"
        require(f"{self.name}: decay_shares", same, expected, self.decay_shares)

    @property
    def optics(self) -> Optics:
        """The optical properties of both spheres."""
        return Optics(
            self.radius,
            self.pmt_sphere,
            self.index,
            self.water_index,
            self.absorption,
            self.scattering,
            self.water_attenuation,
        )

    @property
    def light(self) -> Light:
        """Traced once per process, always with the same photons: identical for all files."""
        return _light(self.optics)

    @cached_property
    def layout(self) -> Layout:
        """Positions of the PMTs."""
        return latitude_rings(self.rings, self.equator)

    @cached_property
    def arrivals(self) -> ArrivalTimes:
        """Arrival times of photoelectrons relative to the time of the optical path."""
        decay, shares = np.array(self.decay_times), np.array(self.decay_shares)
        spread = self.transit_time_spread
        return arrival_times(decay, shares / shares.sum(), spread, self.light.delays, DELAY_STEP)


@lru_cache(maxsize=1)
def _light(optics: Optics) -> Light:
    return trace(optics)
