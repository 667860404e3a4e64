"""A muon's light: point sources along a chord of the sphere.

A track enters a sphere of scintillator at `entry` and leaves it at `exit_point`, (3,) m each, with
the speed of light. Its light is that of point sources at fractions `place` of the chord. The light
of a source is that of `optics.LightTable`, interpolated between its radii and nodes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from rootloom.physics.scintillator.optics import LIGHT, LightTable
from rootloom.physics.scintillator.pmts import ARRIVAL_STEP, ArrivalTimes

_END_SPACING = 0.25  # distance of sources at the ends of a chord, relative to equal distances


class TrackModel(NamedTuple):
    """The optics of a detector as a fit uses them.

    radius: of the scintillator, m. radii, light: a `LightTable`. start: ns; response: (K, 2, 2)
    cumulated arrival times of direct and scattered light from there on, and their densities, ns⁻¹;
    cumulated: (K, 2) float32, the first of them again.
    place, even: (S,) middles and lengths of the pieces of a chord, as fractions of it. share: (S,)
    of a track's light from each piece; proportional to the lengths at first.
    """

    radius: float
    radii: np.ndarray
    light: np.ndarray
    start: float
    response: np.ndarray
    cumulated: np.ndarray
    place: np.ndarray
    even: np.ndarray
    share: np.ndarray


class Sources(NamedTuple):
    """Light of S points. outward: (S, 3) unit vectors; radius: (S,) m; start: (S,) ns.

    way: (3,) the muon's direction. rows: (S, M, 6) float32, a light table's row of each source and
    its slope along the radius.
    """

    outward: np.ndarray
    radius: np.ndarray
    start: np.ndarray
    way: np.ndarray
    rows: np.ndarray


def track_model(
    radius: float, table: LightTable, arrivals: ArrivalTimes, sources: int = 32
) -> TrackModel:
    """The model of a detector's optics; sources: pieces of a track."""
    even = np.linspace(0.0, 1.0, sources + 1)
    edges = even - (1.0 - _END_SPACING) * np.sin(2.0 * np.pi * even) / (2.0 * np.pi)
    cumulated = arrivals.cumulated.astype(np.float64)
    density = np.gradient(cumulated, ARRIVAL_STEP, axis=0)
    return TrackModel(
        float(radius),
        np.asarray(table.radii, np.float64),
        np.asarray(table.values, np.float32),
        float(arrivals.start),
        np.stack([cumulated, density], axis=2),
        np.ascontiguousarray(arrivals.cumulated, np.float32),
        0.5 * (edges[1:] + edges[:-1]),
        np.diff(edges),
        np.diff(edges),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def light_of(entry: np.ndarray, exit_point: np.ndarray, model: TrackModel) -> Sources:
    """The light of a track from `entry` to `exit_point`, (3,) m each."""
    place, radii, light = model.place, model.radii, model.light
    count, nodes = len(place), light.shape[1]
    outward, rows = np.empty((count, 3)), np.empty((count, nodes, 6), np.float32)
    chord = exit_point - entry
    length = max(math.sqrt(np.sum(chord * chord)), 1e-6)
    radius = np.empty(count)
    for s in range(count):
        point = entry + place[s] * chord
        radius[s] = max(math.sqrt(np.sum(point * point)), 1e-6)
        outward[s] = point / radius[s]
        low = min(max(np.searchsorted(radii, radius[s], "right") - 1, 0), len(radii) - 2)
        width = radii[low + 1] - radii[low]
        _interpolate(light[low], light[low + 1], (radius[s] - radii[low]) / width, width, rows[s])
    return Sources(outward, radius, place * length / LIGHT, chord / length, rows)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _interpolate(
    below: np.ndarray, above: np.ndarray, upper: float, width: float, row: np.ndarray
) -> None:
    share, slope = np.float32(upper), np.float32(1.0 / width)
    for m in range(len(row)):
        for c in range(3):
            rise = above[m, c] - below[m, c]
            row[m, c] = below[m, c] + share * rise
            row[m, 3 + c] = rise * slope
