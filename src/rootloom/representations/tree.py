"""Clustering trees: a jet as the binary tree of its recombination (Louppe et al. 1702.00748)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rootloom.errors import DataError
from rootloom.representations.base import (
    MomentsLike,
    Representation,
    momenta,
    ragged,
    require,
    require_choice,
    require_declared,
    round_mantissa,
)
from rootloom.representations.growing import TOPOLOGIES, Topology, gather, grow, node_features
from rootloom.representations.inputs import BATCH, Input, InputQuantity
from rootloom.representations.tree_levels import Levels, in_levels
from rootloom.representations.tree_schedule import Tree, pack
from rootloom.types import A, Column, Ragged, Tensor

_WHO = "clustering_tree"
# Of a node; GeV and rad.
FEATURES = ("momentum", "eta", "phi", "energy", "energy_share", "pt", "theta")


@dataclass(frozen=True)
class ClusteringTree(Representation):
    """Trees with seven features a node: |p|, η, φ, E, E/E_jet, pT, θ (GeV, rad).

    objects:    the constituents; they declare px, py, pz, e in GeV.
    select:     a column of the constituents: only those where it is not 0 become leaves; None: all.
    algorithm:  how all constituents are joined, whatever their distance.
                "kt", "cambridge_aachen", "anti_kt": sequential recombination;
                "ascending_pt": a chain, the two hardest first and the softest last (at the root);
                "descending_pt": a chain, the two softest first and the hardest last;
                "random": two random nodes at a time.
    preprocess: first rotate and boost all jets to a common orientation, given by their kT subjets.
    subjet_radius: of these subjets.
    seed:       of "random"; random numbers follow from it and the jet's momenta, so that a jet
                always has the same tree.
    keep_bits:  mantissa bits stored of a momentum component. 12 bits have a precision of 1.2e-4,
                better than any detector, in half the bytes; 23 are exact.

    A node's left child is the harder in pT. A jet with one constituent is a tree of one leaf; a
    jet without any is one leaf of zero momentum, whose features are all 0.
    """

    kind: ClassVar[str] = "tree"

    objects: str = "constituents"
    select: str | None = None
    algorithm: Topology = "kt"
    preprocess: bool = True
    subjet_radius: float = 0.3
    seed: int = 0
    keep_bits: int = 12

    def __post_init__(self) -> None:
        require_choice(_WHO, "algorithm", self.algorithm, TOPOLOGIES)
        radius = self.subjet_radius
        require(_WHO, "subjet_radius", radius > 0, "a positive number", radius)
        require(_WHO, "keep_bits", 1 <= self.keep_bits <= 23, "1 … 23", self.keep_bits)
        require(_WHO, "seed", 0 <= self.seed < 1 << 64, "0 … 2^64 − 1", self.seed)

    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """The constituents' momenta and their selection."""
        fields = ["px", "py", "pz", "e"] + ([] if self.select is None else [self.select])
        wanted = (f"{self.objects}.{field}" for field in fields)
        return require_declared(_WHO, wanted, variables, objects)

    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Trees of n leaves: "tree.leaves" Ragged (n, 4), "tree.merges" Ragged (n − 1, 2).

        leaves: float32 px, py, pz, E in GeV, hardest first. merges: uint16 (left, right) in the
        order of joining; nodes below n are leaves, node n + i is made by merge i.
        """
        parts = momenta(columns, self.objects, self.select)
        most = int(parts.counts().max(initial=0))
        if 2 * most - 1 > 1 << 16:
            raise DataError(
                f"'{self.objects}', row {int(parts.counts().argmax())} of the block",
                expected="at most 32768 constituents, so that a node's number fits 16 bits",
                found=str(most),
                fix="select fewer constituents",
            )
        radius = self.subjet_radius if self.preprocess else None
        leaves, merges = grow(parts, self.algorithm, radius, self.seed)
        return {
            "tree.leaves": Ragged(round_mantissa(leaves.values, self.keep_bits), leaves.offsets),
            "tree.merges": Ragged(merges.values.astype(np.uint16), merges.offsets),
        }

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Tree:
        """The trees of `rows`, scheduled for a recursive network; absent trees fill up to `size`.

        Raises DataError for merges that are no tree's.
        """
        leaves, merges = _stored(columns)
        counts = leaves.counts()[rows]
        chosen = gather(merges.values, merges.offsets, rows)
        return pack(counts, chosen, self.features(columns, rows), size)

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """{"nodes": (T, 7)}: the features of every node of every row."""
        rows = np.arange(len(columns["tree.leaves"]))
        return {"nodes": self.features(columns, rows).astype(np.float64)}

    def quantities(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Transverse momenta of the leaves, and how many they are."""
        leaves = ragged(columns, "tree.leaves")
        pt = np.hypot(leaves.values[:, 0], leaves.values[:, 1])
        return {"pT of a leaf / GeV": Ragged(pt, leaves.offsets), "leaves": leaves.counts()}

    def served(self, columns: Mapping[str, Column], rows: np.ndarray) -> dict[str, np.ndarray]:
        """The trees of `rows` in levels, see `Levels`."""
        leaves, merges = _stored(columns)
        chosen = gather(merges.values, merges.offsets, rows)
        return in_levels(leaves.counts()[rows], chosen, self.features(columns, rows))._asdict()

    def inputs(
        self, served: Mapping[str, np.ndarray], statistics: Mapping[str, MomentsLike]
    ) -> tuple[Input, ...]:
        """Nodes and children of `Levels`, with any number of levels and places."""
        axes = (BATCH, "levels", "places")
        quantities = tuple(map(InputQuantity, FEATURES))
        nodes = Input("nodes", (*axes, len(FEATURES)), quantities=quantities)
        return nodes, Input("children", (*axes, 2), dtype="int32")

    def taken(self, served: Mapping[str, Tensor]) -> Levels:
        """Trees in levels."""
        return Levels(served["nodes"], served["children"])

    def normalise(
        self, inputs: Tree | Levels, statistics: Mapping[str, MomentsLike]
    ) -> Tree | Levels:
        """(x − mean) / std of every node; a constant feature becomes 0, unused slots stay 0.

        The paper scales with median and interquartile range; exact mean and deviation, which merge
        over any number of shards, serve the same end.
        """
        mean = np.asarray(statistics["nodes"].mean, np.float32)
        std = np.asarray(statistics["nodes"].std, np.float32)
        scale = np.where(std > 0, std, np.float32(1))

        if isinstance(inputs, Levels):
            return inputs._replace(nodes=(inputs.nodes - _last(mean)) / _last(scale))

        def scaled(x: A, use: A) -> A:
            present = (use != 0).astype(np.float32)
            return (x - mean[None]) / scale[None] * present[:, None]

        return inputs._replace(
            leaves=scaled(inputs.leaves, inputs.leaf_use),
            merges=scaled(inputs.merges, inputs.slot_use),
        )

    def features(self, columns: Mapping[str, Column], rows: np.ndarray) -> np.ndarray:
        """(T, 7) float32: the nodes of `rows` one after another, leaves before merges."""
        leaves, merges = _stored(columns)
        return node_features(leaves.values, leaves.offsets, merges.values, merges.offsets, rows)


def _last(values: np.ndarray) -> np.ndarray:
    """(F,) as (1, 1, 1, F)."""
    return values[None, None, None]


def _stored(columns: Mapping[str, Column]) -> tuple[Ragged, Ragged]:
    return ragged(columns, "tree.leaves"), ragged(columns, "tree.merges")
