"""Toy jets for timing: the number and spread of constituents of 250–300 GeV QCD jets at R = 1."""

from __future__ import annotations

import numpy as np

from rootloom.types import Ragged


def toy_jets(count: int, seed: int = 1) -> Ragged:
    """Constituents, values (V, 4) float32 px, py, pz, E in GeV; about 50 a jet, three cores."""
    rng = np.random.default_rng(seed)
    number = np.maximum(rng.poisson(rng.choice([35, 50, 65], count)), 2)
    jet = np.repeat(np.arange(count), number)
    core = rng.integers(0, 3, len(jet))
    centres = rng.normal(0, 0.3, (2, count, 3))
    axis = rng.uniform([-2, -np.pi], [2, np.pi], (count, 2))[jet].T
    y, phi = axis + centres[:, jet, core] + rng.normal(0, 0.12, (2, len(jet)))
    pt = rng.exponential(1.0, len(jet)) ** 2 + 0.2
    pt *= 275.0 / np.bincount(jet, pt)[jet]
    mt = np.hypot(pt, 0.14)
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), mt * np.sinh(y), mt * np.cosh(y)], axis=-1)
    offsets = np.concatenate([[0], np.cumsum(number)]).astype(np.int64)
    return Ragged(p4.astype(np.float32), offsets)


def as_columns(jets: Ragged) -> dict[str, Ragged]:
    """The columns a dataset with `constituents: {px, py, pz, e}` gives."""
    return {
        f"constituents.{name}": Ragged(np.ascontiguousarray(jets.values[:, k]), jets.offsets)
        for k, name in enumerate(("px", "py", "pz", "e"))
    }
