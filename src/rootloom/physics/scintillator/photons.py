"""Scattered and reflected light in the two spheres of `optics`, photon by photon."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from rootloom.physics.scintillator.optics import (
    LIGHT,
    LightTable,
    Optics,
    direct_table,
    solid_angles,
)

# Delays after direct light in bins; longer ones count in the last bin.
DELAY_BINS = 512
DELAY_STEP = 1.0  # ns

_RADII, _NODES = 178, 257  # 0.1 m and half a degree: a tenth of what the nearest sensor sees
_SCATTERED_NODES = 17  # few, because scattered light is smooth, and need few photons
# Denser near the surface, where total reflection begins.
_SCATTERED_RADII = np.concatenate([np.linspace(0.0, 0.84, 12), np.linspace(0.86, 1.0, 13)])
_PHOTONS = 200_000


class Light(NamedTuple):
    """A detector's light: `table`, and the delays of scattered and reflected light.

    delays: (DELAY_BINS,) shares in bins of DELAY_STEP ns after direct light.
    """

    table: LightTable
    delays: np.ndarray


def trace(optics: Optics, photons: int = _PHOTONS, seed: int = 1) -> Light:
    """The light of all sources. seed, photons: of the photons sent from each of 25 radii.

    Scattered light is known to about 1 % at most angles, 15 % straight above the source.
    """
    radii = np.linspace(0.0, optics.radius, _RADII)
    direct = direct_table(optics, radii, _NODES)
    rng = np.random.default_rng(seed)
    delays = np.zeros(DELAY_BINS)
    late_radii = _SCATTERED_RADII * optics.radius
    late = np.zeros((len(late_radii), _SCATTERED_NODES))
    for number, radius in enumerate(late_radii):
        times = LightTable(radii, direct).at(np.array([radius]))[0, :, 1]
        share = np.zeros(_SCATTERED_NODES)
        late_light(radius, tuple(optics), photons, rng, times, share, delays)
        late[number] = share / photons / solid_angles(_SCATTERED_NODES)
    values = np.empty((_RADII, _NODES, 3), np.float32)
    values[..., 0], values[..., 2] = direct[..., 0], direct[..., 1]
    fine, coarse = np.linspace(0.0, 1.0, _NODES), np.linspace(0.0, 1.0, _SCATTERED_NODES)
    over_angle = np.stack([np.interp(fine, coarse, row) for row in late])
    for node in range(_NODES):
        values[:, node, 1] = np.interp(radii, late_radii, over_angle[:, node])
    return Light(LightTable(radii, values), delays / delays.sum())


@njit(cache=True, nogil=True)
def late_light(
    radius: float,
    optics: tuple,
    photons: int,
    rng: np.random.Generator,
    times: np.ndarray,
    light: np.ndarray,
    delays: np.ndarray,
) -> float:
    """Add the photons' scattered and reflected light to `light` (nodes of sin(γ/2)) and `delays`.

    times: (M,) of direct light, on nodes of sin(γ/2), ns. Returns what arrived directly.
    """
    sphere, sensors, index, water, absorption, scattering, water_attenuation = optics
    free = 1.0 / (1.0 / absorption + 1.0 / scattering)
    direct = 0.0
    for _ in range(photons):
        x, y, z = 0.0, 0.0, radius
        dx, dy, dz = _isotropic(rng)
        path, late = 0.0, False
        while True:
            wall = _to_sphere(x, y, z, dx, dy, dz, sphere)
            free_path = free * rng.exponential(1.0)
            step = min(wall, free_path)
            path += step
            x, y, z = x + step * dx, y + step * dy, z + step * dz
            if free_path < wall:
                if rng.random() * absorption < free:
                    break
                dx, dy, dz = _rayleigh(dx, dy, dz, rng)
                late = True
                continue
            outward = (x * dx + y * dy + z * dz) / sphere
            if rng.random() >= _passes(outward, index, water):
                factor = 2.0 * outward / sphere
                dx, dy, dz = dx - factor * x, dy - factor * y, dz - factor * z
                late = True
                continue
            dx, dy, dz = _refract(x, y, z, dx, dy, dz, outward, sphere, index / water)
            last = _to_sphere(x, y, z, dx, dy, dz, sensors)
            weight = math.exp(-last / water_attenuation)
            if not late:
                direct += weight
                break
            cosine = (z + last * dz) / sensors
            place = math.sqrt(max(0.0, 0.5 * (1.0 - cosine)))
            time = (index * path + water * last) / LIGHT
            _share(place, weight, light)
            delay = (time - _read(place, times)) / DELAY_STEP
            delays[min(max(int(delay), 0), len(delays) - 1)] += weight
            break
    return direct


@njit(cache=True, nogil=True)
def _isotropic(rng: np.random.Generator) -> tuple:
    cosine, angle = 2.0 * rng.random() - 1.0, 2.0 * math.pi * rng.random()
    sine = math.sqrt(1.0 - cosine * cosine)
    return sine * math.cos(angle), sine * math.sin(angle), cosine


@njit(cache=True, nogil=True)
def _rayleigh(dx: float, dy: float, dz: float, rng: np.random.Generator) -> tuple:
    """A direction at an angle θ to (dx, dy, dz) that follows 1 + cos²θ."""
    while True:
        x, y, z = _isotropic(rng)
        cosine = x * dx + y * dy + z * dz
        if 2.0 * rng.random() < 1.0 + cosine * cosine:
            return x, y, z


@njit(cache=True, nogil=True)
def _to_sphere(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, sphere: float
) -> float:
    along = x * dx + y * dy + z * dz
    beyond = sphere * sphere - (x * x + y * y + z * z)
    return math.sqrt(max(0.0, along * along + beyond)) - along


@njit(cache=True, nogil=True)
def _passes(cosine: float, index: float, beyond: float) -> float:
    """Fresnel's transmittance of unpolarised light; `optics.transmittance` for one photon."""
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine)) * index / beyond
    if sine >= 1.0:
        return 0.0
    other = math.sqrt(1.0 - sine * sine)
    perpendicular = (index * cosine - beyond * other) / (index * cosine + beyond * other)
    parallel = (index * other - beyond * cosine) / (index * other + beyond * cosine)
    return 1.0 - 0.5 * (perpendicular * perpendicular + parallel * parallel)


@njit(cache=True, nogil=True)
def _refract(
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    cosine: float,
    sphere: float,
    ratio: float,
) -> tuple:
    """The direction behind the surface: its part along the surface grows by n₁/n₂."""
    other = math.sqrt(1.0 - ratio * ratio * (1.0 - cosine * cosine))
    normal = (other - ratio * cosine) / sphere
    return ratio * dx + normal * x, ratio * dy + normal * y, ratio * dz + normal * z


@njit(cache=True, nogil=True)
def _share(place: float, weight: float, nodes: np.ndarray) -> None:
    scaled = min(place, 1.0) * (len(nodes) - 1)
    low = min(int(scaled), len(nodes) - 2)
    nodes[low] += weight * (low + 1 - scaled)
    nodes[low + 1] += weight * (scaled - low)


@njit(cache=True, nogil=True)
def _read(place: float, nodes: np.ndarray) -> float:
    scaled = min(place, 1.0) * (len(nodes) - 1)
    low = min(int(scaled), len(nodes) - 2)
    return nodes[low] + (scaled - low) * (nodes[low + 1] - nodes[low])
