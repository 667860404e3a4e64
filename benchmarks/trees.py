"""Clustering: rootloom's histories, substructure and trees beside FastJet's C++ library.

    python benchmarks/trees.py

FastJet clusters the same jets through its awkward interface, which loops over jets in C++ and
returns the momenta of all nodes, but not who joined whom. One thread each, in processor seconds.
"""

from __future__ import annotations

import argparse

import awkward as ak
import fastjet
import numpy as np

from common import clocked, compare
from rootloom.physics.jets.clustering import cluster
from rootloom.physics.jets.grooming import trim
from rootloom.physics.jets.subjettiness import subjettiness
from rootloom.representations.tree import ClusteringTree
from rootloom.types import Ragged
from toy_jets import as_columns, toy_jets

ALGORITHMS = {
    "kt": fastjet.kt_algorithm,
    "cambridge_aachen": fastjet.cambridge_algorithm,
    "anti_kt": fastjet.antikt_algorithm,
}


def fastjet_nodes(jets: Ragged, algorithm: int) -> ak.Array:
    columns = {name: jets.values[:, k] for k, name in enumerate(("px", "py", "pz", "E"))}
    rows = ak.unflatten(ak.zip(columns, with_name="Momentum4D"), np.diff(jets.offsets))
    return fastjet.ClusterSequence(rows, fastjet.JetDefinition(algorithm, 1000.0)).jets()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    jets = toy_jets(options.jets)
    columns, p4, offsets = as_columns(jets), jets.values.astype(np.float64), jets.offsets
    candidates = {}
    for name, algorithm in ALGORITHMS.items():
        candidates[f"FastJet {name}"] = lambda a=algorithm: fastjet_nodes(jets, a)
    for name in ALGORITHMS:
        candidates[f"rootloom {name}"] = lambda a=name: cluster(p4, offsets, a)
    candidates["trimming"] = lambda: trim(p4, offsets)
    candidates["tau 1, 2, 3 (one pass)"] = lambda: subjettiness(p4, offsets)
    for name in ("kt", "random"):
        tree = ClusteringTree(algorithm=name)
        candidates[f"tree, {name}: ROOT columns to shard"] = lambda t=tree: t.encode(columns)
    tree = ClusteringTree()
    shard, rows = tree.encode(columns), np.arange(options.jets)
    candidates["tree: shard to batches of 64"] = lambda: [
        tree.collate(shard, rows[k : k + 64], 64) for k in range(0, len(rows), 64)
    ]
    candidates = {name: clocked(call) for name, call in candidates.items()}
    compare("trees", candidates, options.repeats, items=options.jets, unit="jets")


if __name__ == "__main__":
    main()
