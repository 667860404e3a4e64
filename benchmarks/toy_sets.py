"""Jets of random particles with JetClass-like multiplicities, the same for both programs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEATURES, CLASSES, MOST = 7, 10, 128
_MEAN, _SD = 46.0, 20.0  # of JetClass's jets
_JETS = 8192
MADE = 2048  # jets of the batches that are gone through again and again


@dataclass(frozen=True)
class Jets:
    """Values of particles, one jet after the other; those of jet r from offsets[r] on.

    x: (V, 7). momenta: (V, 4) px, py, pz, energy in GeV. label: (R,).
    """

    x: np.ndarray
    momenta: np.ndarray
    offsets: np.ndarray
    label: np.ndarray

    @property
    def size(self) -> int:
        return len(self.label)

    @classmethod
    def made(cls) -> Jets:
        """Always the same."""
        rng = np.random.default_rng(1)
        counts = rng.gamma((_MEAN / _SD) ** 2, _SD**2 / _MEAN, _JETS)
        counts = np.clip(np.round(counts), 1, MOST).astype(np.int64)
        number = int(counts.sum())
        x = rng.normal(size=(number, FEATURES)).astype(np.float32)
        pt, (eta, phi) = rng.exponential(5, number), rng.normal(0, 0.3, (2, number))
        momenta = np.stack(
            [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta) * 1.01],
            axis=1,
        )
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return cls(x, momenta.astype(np.float32), offsets, rng.integers(0, CLASSES, _JETS))

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """(B, 128, …) quantities, points, momenta and mask (float32), zero where there is none."""
        starts, counts = self.offsets[rows], np.diff(self.offsets)[rows]
        mask = np.arange(MOST) < counts[:, None]
        places = (starts[:, None] + np.arange(MOST))[mask]
        x = np.zeros((len(rows), MOST, FEATURES), np.float32)
        momenta = np.zeros((len(rows), MOST, 4), np.float32)
        x[mask], momenta[mask] = self.x[places], self.momenta[places]
        return x, x[..., :2].copy(), momenta, mask[..., None].astype(np.float32)
