"""Observables of a jet from its image, with each pixel as a massless particle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sums(NamedTuple):
    """Transverse momentum and mass of the sum of all pixels of images, (n,) in GeV each."""

    pt: np.ndarray
    mass: np.ndarray


def centres(pixels: int, half_width: float) -> np.ndarray:
    """Centres of `pixels` pixels between ±half_width, (pixels,) float64."""
    return half_width * ((2 * np.arange(pixels) + 1) / pixels - 1)


def sums_of_pixels(pt: np.ndarray, half_width: float) -> Sums:
    """Sums of the four-vectors of pixels; pixels: transverse momenta (n, rows, columns) in GeV.

    Rows are bins of azimuth, columns bins of rapidity, both within ±half_width of the axis.
    Massless particles at rapidity y have E = pT cosh y and pz = pT sinh y.
    """
    pt = np.asarray(pt, np.float64)
    phi, y = (centres(n, half_width) for n in pt.shape[1:])
    along_phi, along_y = pt.sum(axis=2), pt.sum(axis=1)
    px, py = along_phi @ np.cos(phi), along_phi @ np.sin(phi)
    energy, pz = along_y @ np.cosh(y), along_y @ np.sinh(y)
    square = px**2 + py**2
    # For a single pixel rounding gives m² of either sign.
    mass = np.sqrt(np.maximum(energy**2 - pz**2 - square, 0.0))
    return Sums(np.sqrt(square), mass)
