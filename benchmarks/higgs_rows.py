"""Genuine rows of UCI HIGGS, events of the `higgs` source, and the latter in the former's units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import uproot
from scipy.stats import ks_2samp

from rootloom.baselines.base import Sample
from rootloom.simulate.higgs_features import HIGH_LEVEL, LOW_LEVEL, W_MASS

GENUINE = Path(__file__).resolve().parents[1] / "tests" / "data" / "higgs-7000.tsv"
NAMES = (*LOW_LEVEL, *HIGH_LEVEL)
# m(ℓν) is a spike at the W mass, in the genuine rows 0.5 % wide: what lies beyond it is compared.
SPIKE, GENUINE_W = 1.03, 0.987


def genuine() -> Sample:
    """The 7,000 rows of tests/data."""
    table = np.loadtxt(GENUINE)
    x = table[:, 1:]
    for k, name in enumerate(NAMES):
        if name.endswith("btag"):
            x[:, k] = np.searchsorted(np.unique(x[:, k]), x[:, k])
    x[:, NAMES.index("m_lv")] /= GENUINE_W
    return _sample(x, table[:, 0])


def simulated(folder: Path) -> Sample:
    """All events of the ROOT files below a folder, class after class."""
    parts, targets = [], []
    for path in sorted(folder.rglob("*.root")):
        columns = uproot.open(path)["events"].arrays(NAMES, library="np")
        parts.append(np.stack([columns[name] for name in NAMES], axis=1).astype(np.float64))
        targets.append(np.full(len(parts[-1]), path.name.startswith("higgs")))
    x = np.concatenate(parts)
    x[:, NAMES.index("m_lv")] /= W_MASS
    return _sample(x, np.concatenate(targets))


def _sample(x: np.ndarray, target: np.ndarray) -> Sample:
    x[:, NAMES.index("m_lv")] = np.maximum(x[:, NAMES.index("m_lv")], SPIKE)
    return Sample(x, target.astype(np.int8), np.ones(len(x)), NAMES)


def matched(ours: Sample, theirs: Sample) -> Sample:
    """Our features in their units, and our classes in their proportion."""
    share = theirs.target.mean()
    weight = np.where(ours.target == 1, share / ours.target.mean(), 1.0)
    weight[ours.target == 0] = (1 - share) / (1 - ours.target.mean())
    x = ours.x.copy()
    for k, name in enumerate(NAMES):
        if name.endswith(("eta", "phi")):
            x[:, k] *= theirs.x[:, k].std() / np.sqrt(np.average(x[:, k] ** 2, weights=weight))
        elif not (name.endswith("btag") or name == "m_lv"):
            mean = np.average(np.log(x[:, k]), weights=weight)
            x[:, k] *= np.exp(np.log(theirs.x[:, k]).mean() - mean)
    return Sample(x, ours.target, weight, NAMES)


def distances(ours: Sample, theirs: Sample) -> None:
    """Print how far apart the features are, class by class."""
    print("Kolmogorov-Smirnov distances, signal and background:")
    for k, name in enumerate(NAMES):
        found = [
            ks_2samp(ours.x[ours.target == c, k], theirs.x[theirs.target == c, k]).statistic
            for c in (1, 0)
        ]
        print(f"  {name:26} {found[0]:.3f} {found[1]:.3f}")
