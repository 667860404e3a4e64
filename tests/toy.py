"""A few hundred toy jets in the layout of the W-jets files: fast to make, learnable, seeded."""

from __future__ import annotations

from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import awkward as ak
import numpy as np
import uproot

CLUSTER = 2000


def write_jets(path: Path, signal: bool, jets: int, seed: int) -> None:
    """One- (background) or two-pronged (signal) sprays of 5 to 30 massless particles."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(5, 30, jets)
    jet = np.repeat(np.arange(jets), counts)
    n = int(counts.sum())
    angle = rng.uniform(0, 2 * np.pi, jets)
    opening = np.where(signal, rng.normal(0.6, 0.05, jets), 0.1)
    side = rng.choice([-0.5, 0.5], n) * (opening[jet])
    eta = rng.normal(0, 1, jets)[jet] + side * np.cos(angle[jet]) + rng.normal(0, 0.08, n)
    phi = rng.uniform(-np.pi, np.pi, jets)[jet] + side * np.sin(angle[jet]) + rng.normal(0, 0.08, n)
    share = rng.exponential(1.0, n)
    total = np.bincount(jet, share, jets)
    jet_pt = rng.uniform(250, 300, jets)
    pt = share / total[jet] * jet_pt[jet]
    momenta = np.stack(
        [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1
    )
    sums = np.stack([np.bincount(jet, momenta[:, k], jets) for k in range(4)], axis=1)
    mass = np.sqrt(np.maximum(sums[:, 3] ** 2 - (sums[:, :3] ** 2).sum(axis=1), 0))
    scalars = {
        "trimmed_pt": jet_pt,
        "trimmed_mass": mass,
        "tau1": rng.uniform(0.2, 0.4, jets),
        "tau2": rng.uniform(0.05, 0.2, jets) / (1 + signal),
        "tau3": rng.uniform(0.02, 0.1, jets),
        "multiplicity": counts,
        "width": rng.uniform(0, 1, jets),
        "ptd": rng.uniform(0, 1, jets),
        "c2": rng.uniform(0, 1, jets),
        "d2": rng.uniform(0, 1, jets),
        "weight": rng.uniform(0.5, 1.5, jets),
    }
    jagged = {
        "px": momenta[:, 0],
        "py": momenta[:, 1],
        "pz": momenta[:, 2],
        "e": momenta[:, 3],
        "charge": rng.integers(-1, 2, n),
        "trimmed": rng.random(n) < 0.95,
    }
    events = {name: values.astype(np.float32) for name, values in scalars.items()}
    events["tau21"] = events["tau2"] / events["tau1"]
    types = {"charge": np.int8, "trimmed": np.bool_}
    for name, values in jagged.items():
        typed = values.astype(types.get(name, np.float32))
        events[f"cons_{name}"] = ak.unflatten(typed, counts)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The splits follow from the UUID: those of two runs of the tests are the same.
    name = f"{path.name} {signal} {jets} {seed}"
    with uproot.recreate(path, uuid_function=lambda: uuid5(NAMESPACE_OID, name)) as file:
        file.mktree("jets", {name: ak.type(ak.Array(a)).content for name, a in events.items()})
        # In clusters, as real files are: reading takes whole ones.
        for first in range(0, jets, CLUSTER):
            file["jets"].extend({name: a[first : first + CLUSTER] for name, a in events.items()})
