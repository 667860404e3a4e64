"""What a jet's image says of the jet, when each of its pixels is taken for a massless particle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sums(NamedTuple):
    """Of images: the transverse momentum and the mass of all pixels together, (n,) in GeV each."""

    pt: np.ndarray
    mass: np.ndarray


def centres(pixels: int, half_width: float) -> np.ndarray:
    """Centres of `pixels` pixels between ±half_width, (pixels,) float64."""
    return half_width * ((2 * np.arange(pixels) + 1) / pixels - 1)


def sums_of_pixels(pt: np.ndarray, half_width: float) -> Sums:
    """Momenta of pixels (n, rows, columns), GeV, added up as four-vectors.

    Rows lie along the azimuth, columns along the rapidity, both within ±half_width of the axis.
    Massless particles at rapidity y have E = pT cosh y and pz = pT sinh y.
    """
    pt = np.asarray(pt, np.float64)
    phi, y = (centres(n, half_width) for n in pt.shape[1:])
    along_phi, along_y = pt.sum(axis=2), pt.sum(axis=1)
    px, py = along_phi @ np.cos(phi), along_phi @ np.sin(phi)
    energy, pz = along_y @ np.cosh(y), along_y @ np.sinh(y)
    square = px**2 + py**2
    # Rounding leaves single pixels a square of either sign.
    mass = np.sqrt(np.maximum(energy**2 - pz**2 - square, 0.0))
    return Sums(np.sqrt(square), mass)
