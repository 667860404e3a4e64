"""Light out of a liquid sphere into the water around it: refraction, reflection and attenuation.

Both spheres have one centre. A photon's path from a source at radius r is fixed by its angle α to
the outward radius; it ends at the central angle γ from the source. Lengths in m, times in ns,
angles in rad.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LIGHT = 0.299792458  # m/ns


class Optics(NamedTuple):
    """A scintillator sphere in water, inside a sphere of light sensors.

    radius, sensors: of the scintillator and of the sensors' sphere, m. inner_index, water_index:
    refractive. absorption, scattering: mean free paths in the scintillator, m; scattered photons
    are not direct light any more. water_attenuation: m.
    """

    radius: float = 17.7
    sensors: float = 19.5
    inner_index: float = 1.49
    water_index: float = 1.33
    absorption: float = 68.8
    scattering: float = 28.2
    water_attenuation: float = 60.0

    @property
    def attenuation(self) -> float:
        """Mean free path of direct light in the scintillator, m."""
        return 1.0 / (1.0 / self.absorption + 1.0 / self.scattering)


class Rays(NamedTuple):
    """Ends of direct light: central angle (…) rad, time (…) ns, share (…) of it that arrives.

    Where light is totally reflected the share is 0 and the others are NaN.
    """

    angle: np.ndarray
    time: np.ndarray
    share: np.ndarray


class LightTable(NamedTuple):
    """Light of a one-photon source per steradian about the centre, in r and sin(γ/2).

    radii: (N,) m, ascending from 0. values: (N, M, 3) float32: direct light, scattered and
    reflected light, both sr⁻¹, and the time of direct light, ns; M nodes equidistant in
    sin(γ/2) from 0 to 1, linear in between.
    """

    radii: np.ndarray
    values: np.ndarray

    def at(self, radius: np.ndarray) -> np.ndarray:
        """Rows (S, M, 3) float32 for sources at `radius` (S,), linear between the table's radii."""
        place = np.interp(radius, self.radii, np.arange(len(self.radii)))
        low = np.minimum(place.astype(np.int64), len(self.radii) - 2)
        share = (place - low).astype(np.float32)[:, None, None]
        return self.values[low] * (1 - share) + self.values[low + 1] * share


def refracted(sine: np.ndarray, index: float, beyond: float) -> np.ndarray:
    """Sine of the refracted angle (Snell); above 1 where light is totally reflected."""
    return np.asarray(sine, np.float64) * (index / beyond)


def transmittance(sine: np.ndarray, index: float, beyond: float) -> np.ndarray:
    """Share of unpolarised light that passes a surface (Fresnel), 0 where totally reflected."""
    sine = np.asarray(sine, np.float64)
    cosine = np.sqrt(1.0 - sine**2)
    cosine_beyond = np.sqrt(np.maximum(1.0 - refracted(sine, index, beyond) ** 2, 0.0))
    n, m = index, beyond
    with np.errstate(invalid="ignore"):
        perpendicular = (n * cosine - m * cosine_beyond) / (n * cosine + m * cosine_beyond)
        parallel = (n * cosine_beyond - m * cosine) / (n * cosine_beyond + m * cosine)
    passed = 1.0 - 0.5 * (perpendicular**2 + parallel**2)
    return np.where(cosine_beyond > 0.0, passed, 0.0)


def direct_rays(radius: float, emission: np.ndarray, optics: Optics) -> Rays:
    """Direct light of a source at `radius` sent at `emission` (…) rad to its outward radius."""
    emission = np.asarray(emission, np.float64)
    sine = radius * np.sin(emission) / optics.radius
    sine_beyond = refracted(sine, optics.inner_index, optics.water_index)
    passes = sine_beyond < 1.0
    sine_beyond = np.where(passes, sine_beyond, np.nan)
    sine_at_sensor = sine_beyond * (optics.radius / optics.sensors)
    inside = _chord(radius, np.cos(emission), optics.radius)
    outside = _chord(optics.radius, np.sqrt(1.0 - sine_beyond**2), optics.sensors)
    angle = emission - np.arcsin(sine) + np.arcsin(sine_beyond) - np.arcsin(sine_at_sensor)
    time = (optics.inner_index * inside + optics.water_index * outside) / LIGHT
    survives = np.exp(-inside / optics.attenuation - outside / optics.water_attenuation)
    share = transmittance(sine, optics.inner_index, optics.water_index) * survives
    return Rays(angle, time, np.where(passes, share, 0.0))


def straight_time(radius: float, half_sine: np.ndarray, optics: Optics) -> np.ndarray:
    """Time (…) along the straight line to the sensors' sphere at sin(γ/2) = `half_sine`, ns.

    Used as arrival time where no direct light comes; never earlier than direct light.
    """
    cosine = 1.0 - 2.0 * np.asarray(half_sine, np.float64) ** 2
    distance = np.sqrt(radius**2 + optics.sensors**2 - 2.0 * radius * optics.sensors * cosine)
    along = (optics.sensors * cosine - radius) / distance
    inside = _chord(radius, along, optics.radius)
    return (optics.inner_index * inside + optics.water_index * (distance - inside)) / LIGHT


def direct_table(
    optics: Optics, radii: np.ndarray, nodes: int = 257, rays: int = 1 << 13
) -> np.ndarray:
    """(N, nodes, 2): direct light of one photon, sr⁻¹, and its mean time, ns; see LightTable."""
    edges = np.linspace(0.0, np.pi, rays + 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    sent = 0.5 * -np.diff(np.cos(edges))
    table = np.empty((len(radii), nodes, 2))
    for number, radius in enumerate(radii):
        found = direct_rays(float(radius), middle, optics)
        arrives = found.share > 0.0
        light = (sent * found.share)[arrives]
        place = np.sin(0.5 * found.angle[arrives])
        total = deposit(place, light, nodes)
        delayed = deposit(place, light * found.time[arrives], nodes)
        other = straight_time(float(radius), np.linspace(0.0, 1.0, nodes), optics)
        table[number, :, 0] = total / solid_angles(nodes)
        table[number, :, 1] = np.divide(delayed, total, out=other, where=total > 0.0)
    return table


def deposit(place: np.ndarray, weight: np.ndarray, nodes: int) -> np.ndarray:
    """Sums (nodes,) of `weight`, each divided between the two nodes around `place` in 0 … 1."""
    scaled = np.clip(place, 0.0, 1.0) * (nodes - 1)
    low = np.minimum(scaled.astype(np.int64), nodes - 2)
    upper = scaled - low
    return np.bincount(low, weight * (1.0 - upper), nodes) + np.bincount(
        low + 1, weight * upper, nodes
    )


def solid_angles(nodes: int) -> np.ndarray:
    """Solid angle (nodes,), sr, of each node of sin(γ/2): ∫ hat(u) 8π u du."""
    width = 1.0 / (nodes - 1)
    angle = 8.0 * np.pi * np.linspace(0.0, 1.0, nodes) * width
    angle[0] = 8.0 * np.pi * width**2 / 6.0
    angle[-1] = 8.0 * np.pi * width * (0.5 - width / 6.0)
    return angle


def _chord(radius: float, cosine: np.ndarray, sphere: float) -> np.ndarray:
    """Length from a point at `radius` to a sphere around it, at `cosine` to the outward radius."""
    along = radius * cosine
    return np.sqrt(along**2 + sphere**2 - radius**2) - along
