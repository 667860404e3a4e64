"""What tells HIGGS' high-level features from low-level ones that are seen as four-momenta?

    snakemake --config experiment=higgs
    python benchmarks/higgs_masses.py results

Two answers. The seven masses are computed again from the four jets of the table: where they differ
from the stored ones, those were made of other jets, which no low-level feature knows of; what a
network loses without the masses is given for both kinds of test rows. Boosted trees are then given
what the model `lorentz` makes of a row before its dense layers, and the masses computed again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from auc_pairs import scores_of
from higgs_rows import genuine
from rootloom.baselines.base import Sample
from rootloom.baselines.boosted_trees import BoostedTrees
from rootloom.config.sections import Library
from rootloom.evaluation.uncertainties import paired_areas
from rootloom.models.lorentz import invariants, momenta_of, read_objects, tagged_first
from rootloom.physics.jets import kinematics
from rootloom.shards.reader import Shard
from rootloom.simulate.higgs_features import HIGH_LEVEL, JETS, LOW_LEVEL, Selected, high_level
from rootloom.types import SPLITS, Named

CONFIG = Path(__file__).resolve().parents[1] / "config"
NAMES = (*LOW_LEVEL, *HIGH_LEVEL)
# Jets have masses, which the table does not know: the same jets within this.
SAME = 0.1


def rows_of(results: Path, split: str) -> Sample:
    """The rows of a split by ascending id, all 28 features."""
    shards = sorted((results / "datasets/higgs/higgs-all/shards").rglob("*.h5"))
    parts = []
    for path in shards:
        with Shard(path) as shard:
            parts.append(shard.read(split, [*(f"x.{name}" for name in NAMES), "label", "id"]))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["id"], kind="stable")
    x = np.stack([columns[f"x.{name}"][order] for name in NAMES], axis=1).astype(np.float64)
    return Sample(x, columns["label"][order], np.ones(len(x)), NAMES)


def masses_of_four_jets(rows: Sample) -> np.ndarray:
    """The seven masses from the low-level features, (R, 7) GeV."""
    column = dict(zip(NAMES, rows.x.T, strict=True))

    def momentum(name: str) -> np.ndarray:
        angles = (column[f"{name}_{what}"] for what in ("pt", "eta", "phi"))
        return kinematics.from_pt_eta_phi_m(*angles, np.zeros(len(rows)))

    jets = [f"jet{j}" for j in range(1, JETS + 1)]
    size, phi = column["missing_energy_magnitude"], column["missing_energy_phi"]
    tag = np.stack([column[f"{jet}_btag"] for jet in jets], axis=1)
    events = Selected(
        lepton=momentum("lepton"),
        missing=np.stack([size * np.cos(phi), size * np.sin(phi)], axis=1),
        jets=np.stack([momentum(jet) for jet in jets], axis=1),
        exists=np.ones_like(tag, bool),
        tag=tag,
    )
    found = high_level(events)
    return np.stack([found[name] for name in HIGH_LEVEL], axis=1)


def with_masses_of_four_jets(rows: Sample) -> np.ndarray:
    """Low-level features and the seven masses computed from them, (R, 28)."""
    return np.c_[rows.x[:, : len(LOW_LEVEL)], masses_of_four_jets(rows)]


def network_inputs(rows: Sample) -> np.ndarray:
    """What the model `lorentz` makes of low-level features before its dense layers, (R, 67)."""
    columns = {
        name: Named(jnp.asarray(values, jnp.float32), None)
        for name, values in zip(NAMES, rows.x.T, strict=True)
    }
    section = Library(CONFIG).model("lorentz")
    momenta = momenta_of(read_objects(section["objects"]), columns)
    return np.asarray(invariants(tagged_first(momenta), section.get("scale", 100.0)))


def of_the_same_jets(rows: Sample) -> np.ndarray:
    """Where m_jj and m_bb are those of the table's jets, (R,) bool."""
    again = masses_of_four_jets(rows)
    same = [
        np.abs(again[:, HIGH_LEVEL.index(name)] / rows.x[:, NAMES.index(name)] - 1.0) < SAME
        for name in ("m_jj", "m_bb")
    ]
    return np.logical_and.reduce(same)


def tags_known(rows: Sample) -> float:
    """Share of the events whose two flavour tags are among the table's jets."""
    tags = rows.columns([name for name in NAMES if name.endswith("btag")]).x
    return float(((tags > 0).sum(axis=1) == 2).mean())


def trees(inputs: dict[str, np.ndarray], target: dict[str, np.ndarray]) -> np.ndarray:
    """Scores of the test rows; inputs and target by split."""
    names = tuple(map(str, range(inputs[SPLITS[0]].shape[1])))
    train, held, test = (
        Sample(inputs[split], target[split], np.ones(len(target[split])), names) for split in SPLITS
    )
    return BoostedTrees().fit(train, held).score(test.x)


def difference(first: np.ndarray, second: np.ndarray, signal: np.ndarray, part: np.ndarray) -> str:
    """AUC of two scores on some rows, and their difference."""
    chosen = np.stack([first[part], second[part]])
    area, covariance = paired_areas(chosen, signal[part], np.ones(part.sum()))
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return f"{area[0]:.4f} − {area[1]:.4f} = {area[0] - area[1]:+.4f} ± {error:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--networks", nargs="*", default=["deep", "lorentz"])
    arguments = parser.parse_args()
    rows = {split: rows_of(arguments.results, split) for split in SPLITS}
    target = {split: rows[split].target for split in SPLITS}
    found, signal, _ = scores_of(arguments.results / "higgs" / "predictions")
    assert np.array_equal(signal, target[SPLITS[2]] == 1)
    made: dict[str, dict[str, np.ndarray]] = {
        method: {kind: found[f"{method}-{kind}"] for kind in ("all", "low")}
        for method in (*arguments.networks, "trees")
    }
    high = {split: rows[split].columns(HIGH_LEVEL).x for split in SPLITS}
    for name, function in (
        ("trees on the layer's numbers", network_inputs),
        ("trees on masses of four jets", with_masses_of_four_jets),
    ):
        low = {split: function(rows[split]) for split in SPLITS}
        both = {split: np.c_[low[split], high[split]] for split in SPLITS}
        made[name] = {"all": trees(both, target), "low": trees(low, target)}
    test, same = rows[SPLITS[2]], of_the_same_jets(rows[SPLITS[2]])
    for what, where in (("test", test), ("genuine", genuine())):
        print(f"both tags among the four jets: {tags_known(where):.3f} of the {what} rows")
    print(f"m_jj and m_bb of the four jets: {same.mean():.3f} of the test rows")
    everything = np.ones_like(same)
    for part, what in ((everything, "all rows"), (same, "four jets"), (~same, "other jets")):
        print(f"{what}: AUC of all − low-level features")
        for name, scores in made.items():
            print(f"  {name:<30} {difference(scores['all'], scores['low'], signal, part)}")
    for kind in ("low", "all"):
        pair = (
            made[name][kind] for name in (arguments.networks[-1], "trees on the layer's numbers")
        )
        compared = difference(*pair, signal, everything)
        print(f"{kind}: {arguments.networks[-1]} − trees on the layer's numbers: {compared}")


if __name__ == "__main__":
    main()
