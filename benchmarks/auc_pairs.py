"""AUC of an experiment's methods on its test rows, and differences with the error of a pair.

    python benchmarks/auc_pairs.py results/higgs/predictions deep-all:trees-all deep-all:deep-low

Of a method with several members, each one and their mean score. The error of a difference leaves
out what two methods, tested on the same rows, have in common.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rootloom.evaluation.predictions import Predictions, read_predictions
from rootloom.evaluation.uncertainties import paired_areas


def scores_of(folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Scores (R,) by method, or method and member; signal and weight (R,) of the same rows."""
    found: dict[str, np.ndarray] = {}
    first: Predictions | None = None
    for method in sorted(path for path in folder.iterdir() if list(path.rglob("test.h5"))):
        members = {}
        for path in sorted(method.rglob("test.h5")):
            read = read_predictions(path)
            order = np.argsort(read.rows.id, kind="stable")
            first = first or read
            assert np.array_equal(read.rows.id[order], np.sort(first.rows.id)), path
            members[path.parent.name] = read.rows.scores[order, 0].astype(np.float64)
        if len(members) > 1:
            found |= {f"{method.name}/{member}": score for member, score in members.items()}
        found[method.name] = np.mean(list(members.values()), axis=0)
    assert first is not None, f"no test.h5 below {folder}"
    order = np.argsort(first.rows.id, kind="stable")
    signal = first.rows.truth == first.header.classes.index(first.header.signal)
    return found, signal[order], first.rows.weight[order].astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("predictions", type=Path, help="results/EXPERIMENT/predictions")
    parser.add_argument("pairs", nargs="*", help="A:B prints the AUC of A minus that of B")
    options = parser.parse_args()
    scores, signal, weight = scores_of(options.predictions)
    areas, covariance = paired_areas(np.stack(list(scores.values())), signal, weight)
    print(f"{signal.sum()} signal and {(~signal).sum()} background rows")
    for k, name in enumerate(scores):
        print(f"{name:24} {areas[k]:.4f} ± {np.sqrt(covariance[k, k]):.4f}")
    names = list(scores)
    for pair in options.pairs:
        a, b = (names.index(name) for name in pair.split(":"))
        variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
        print(f"{pair:36} {areas[a] - areas[b]:+.4f} ± {np.sqrt(max(variance, 0)):.4f}")


if __name__ == "__main__":
    main()
