"""Shuffled, padded, weighted batches: rootloom's loader beside weaver-core's, on the same jets.

    taskset is applied to the children; each measures itself after a warm-up, on one core.

    python benchmarks/batches.py --weaver VENV/bin/python      the comparison
    python benchmarks/batches.py --memory                      peak memory at ×1 and ×10 jets

VENV: torch and weaver-core 0.5.3. Jets are JetClass-like in size: 48 constituents on average, of
8 quantities each, in TTrees compressed by zlib, level 1; 4 classes; class balance and pT spectra
flattened by both. weaver-core pads to 128, rootloom in groups of like length, or to 128 as well.
"copies" is the limit: the same batches copied from memory to memory. "shards" is what is paid once:
from the ROOT files to the shards.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import compare

if TYPE_CHECKING:
    from rootloom.types import Batch, RowBlock

CLASSES = ("qcd", "hbb", "tbqq", "wqq")
QUANTITIES = ("px", "py", "pz", "energy", "deta", "dphi", "d0", "charge")
LENGTH, FILES, PT = 128, 2, (500.0, 1000.0)
SPLITS = {"train": 1.0}


def jets(count: int, seed: int) -> dict[str, np.ndarray]:
    """Flat columns, offsets, and a row of scalars a jet; float32 as in JetClass."""
    rng = np.random.default_rng(seed)
    label = rng.choice(len(CLASSES), count, p=[0.55, 0.15, 0.15, 0.15])
    number = np.clip(rng.poisson(rng.choice([30, 45, 65], count)), 1, LENGTH)
    offsets = np.concatenate([[0], np.cumsum(number)])
    pt = PT[0] + (PT[1] - PT[0]) * rng.beta(1, 1.5 + 0.5 * label)
    share = rng.exponential(1, offsets[-1]) ** 2
    share /= np.repeat(np.add.reduceat(share, offsets[:-1]), number)
    axis = np.repeat(rng.uniform([-2, -np.pi], [2, np.pi], (count, 2)), number, axis=0)
    deta, dphi = rng.normal(0, 0.25, (2, offsets[-1]))
    part = share * np.repeat(pt, number)
    eta, phi = axis[:, 0] + deta, axis[:, 1] + dphi
    charge = rng.choice([-1, 0, 1], offsets[-1])
    columns = {
        "px": part * np.cos(phi), "py": part * np.sin(phi), "pz": part * np.sinh(eta),
        "energy": part * np.cosh(eta), "deta": deta, "dphi": dphi,
        "d0": np.where(charge != 0, rng.standard_t(2, offsets[-1]), 0), "charge": charge,
    }  # fmt: skip
    flat = {name: values.astype(np.float32) for name, values in columns.items()}
    return {**flat, "offsets": offsets, "label": label, "pt": pt.astype(np.float32)}


def write_root(path: Path, table: dict[str, np.ndarray]) -> None:
    import awkward as ak
    import uproot

    layout = ak.contents
    offsets = ak.index.Index64(table["offsets"])
    part = {
        name: ak.Array(layout.ListOffsetArray(offsets, layout.NumpyArray(table[name])))
        for name in QUANTITIES
    }
    scalars = {f"label_{c}": (table["label"] == k).astype(np.int32) for k, c in enumerate(CLASSES)}
    scalars["jet_pt"] = table["pt"]
    scalars["jet_eta"] = np.zeros_like(table["pt"])  # weaver reweights in exactly two variables
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        types = {name: values.dtype for name, values in scalars.items()}
        tree = file.mktree("tree", {**types, **{f"part_{n}": "var * float32" for n in QUANTITIES}})
        step = 10_000
        for start in range(0, len(table["pt"]), step):
            cut = slice(start, start + step)
            tree.extend(
                {n: v[cut] for n, v in scalars.items()}
                | {f"part_{n}": part[n][cut] for n in QUANTITIES}
            )


def write_shard(path: Path, table: dict[str, np.ndarray], key: str) -> None:
    from rootloom.types import Ragged, RowBlock

    count = len(table["pt"])
    columns = {f"constituents.{n}": Ragged(table[n], table["offsets"]) for n in QUANTITIES}
    block = RowBlock(
        entry=np.arange(count),
        object=np.zeros(count, np.int32),
        label=table["label"].astype(np.int32),
        weight=np.ones(count, np.float32),
        columns={"pt": table["pt"], **columns},
    )
    write_blocks(path, [block], key)


def write_blocks(path: Path, blocks: Iterable[RowBlock], key: str) -> int:
    """A shard; returns its rows."""
    from rootloom.shards.writer import ShardWriter

    rows = 0
    with ShardWriter(path, file_key=key, splits=SPLITS, auxiliary=("pt",)) as writer:
        for block in blocks:
            writer.append(block, representation().encode(block.columns))
            rows += len(block)
    return rows


def shard(folder: Path) -> None:
    """Write shards of the ROOT files again, as a job of the workflow does, and drop them."""
    import uproot

    from rootloom.rootio.dataset import ClassRule, RowReader

    reader = RowReader(
        "tree",
        {"pt": "jet_pt"},
        objects={"constituents": {n: f"part_{n}" for n in QUANTITIES}},
        classes=tuple(ClassRule(name, f"label_{name} == 1") for name in CLASSES),
    )

    def write(source: Path) -> int:
        with tempfile.TemporaryDirectory() as place:
            with uproot.open(source) as file:
                entries = file["tree"].num_entries
            made = reader.read(str(source), 0, entries)
            return write_blocks(Path(place) / "shard.h5", made, source.name)

    write(folder / "warm.root")
    start = time.perf_counter()
    rows = sum(map(write, sorted(folder.glob("jets*.root"))))
    print(time.perf_counter() - start, rows)


def representation(groups: int = 8):
    from rootloom.representations.particle_set import ParticleSet

    objects = tuple(f"constituents.{n}" for n in QUANTITIES)
    return ParticleSet(objects=objects, max_objects=LENGTH, groups=groups)


def reweight():
    from rootloom.shards.reweight import Reweight

    return Reweight("pt", bins=25, low=PT[0], high=PT[1], cap=10.0)


WEAVER = f"""\
treename: tree
selection: null
new_variables: {{part_mask: ak.ones_like(part_energy)}}
preprocess: {{method: manual, data_fraction: null}}
inputs:
  points: {{length: {LENGTH}, vars: [{", ".join(f"[part_{n}, null]" for n in QUANTITIES)}]}}
  mask: {{length: {LENGTH}, vars: [[part_mask, null]]}}
labels: {{type: simple, value: [{", ".join(f"label_{c}" for c in CLASSES)}]}}
observers: []
weights:
  use_precomputed_weights: false
  reweight_method: flat
  reweight_vars: {{jet_pt: {np.linspace(*PT, 26).tolist()}, jet_eta: [-1.0, 1.0]}}
  reweight_classes: [{", ".join(f"label_{c}" for c in CLASSES)}]
  class_weights: [1, 1, 1, 1]
  reweight_threshold: 10
  reweight_discard_under_overflow: false
"""


def prepare(folder: Path, count: int, files: int = FILES, root: bool = True) -> None:
    """Shards, statistics and ROOT files of `count` jets, made once."""
    from rootloom.shards.merging import merge_all
    from rootloom.shards.statistics import shard_statistics

    if (folder / "statistics.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weaver.yaml").write_text(WEAVER)
    for k in range(files):
        table = jets(count // files, k)
        if root:
            write_root(folder / f"jets{k}.root", table)
        write_shard(folder / f"jets{k}.h5", table, f"jets{k}.root")
    warm = jets(2000, files)
    write_root(folder / "warm.root", warm)
    write_shard(folder / "warm.h5", warm, "warm.root")
    parts = [
        shard_statistics(p, representation(), classes=CLASSES, reweights=(reweight(),))
        for p in sorted(folder.glob("jets*.h5"))
    ]
    (folder / "statistics.json").write_text(merge_all(parts).to_json())


def loader(folder: Path, pattern: str, batch_size: int, cache_bytes: int, groups: int = 8):
    from rootloom.batches.loader import Loader
    from rootloom.shards.statistics import Statistics
    from rootloom.shards.weights import Weighting, WeightTable

    statistics = Statistics.from_json((folder / "statistics.json").read_text())
    weights = WeightTable.from_statistics(
        statistics, dataset="jets", weighting=Weighting(reweight=reweight())
    )
    return Loader(
        sorted(folder.glob(pattern)), representation(groups), "train", batch_size,
        weights=weights, cache_bytes=cache_bytes,
    )  # fmt: skip


def ours(folder: Path, mode: str, batch_size: int, groups: int) -> None:
    """One epoch: first (from disk, nothing cached), second (from the cache), stream (no cache).

    copies: of the batches of an epoch, as many as 256 of them.
    """
    for _ in loader(folder, "warm.h5", batch_size, 1 << 30, groups).epoch(0):
        pass
    start = time.perf_counter()
    cache_bytes = 0 if mode == "stream" else 4 << 30
    made = loader(folder, "jets*.h5", batch_size, cache_bytes, groups)
    if mode == "copies":
        copies([batch for batch, _ in zip(made.epoch(0), range(256), strict=False)])
        return
    if mode == "second":
        sum(1 for _ in made.epoch(0))
        start = time.perf_counter()
    seen = 0
    for batch in made.epoch(1):
        seen += int((batch.weight > 0).sum())
    print(time.perf_counter() - start, seen)


def copies(batches: list[Batch]) -> None:
    """Copy every array of the batches, and nothing else."""
    import jax

    arrays = [leaf for batch in batches for leaf in jax.tree.leaves(batch)]
    for _ in range(2):  # the memory of the first is taken anew
        start = time.perf_counter()
        for array in arrays:
            array.copy()
        seconds = time.perf_counter() - start
    print(seconds, sum(int((batch.weight > 0).sum()) for batch in batches))


def child(python: str, script: str, *words: object) -> Callable[[], float]:
    """Run a script on core 0; returns the seconds for 1,000 jets that it measured itself."""
    command = ["taskset", "-c", "0", python, str(Path(__file__).with_name(script))]

    def call() -> float:
        done = subprocess.run(
            [*command, *map(str, words)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        seconds, seen = done.stdout.split()[-2:]
        return float(seconds) / int(seen) * 1000

    return call


def memory(folder: Path, count: int) -> None:
    """Peak memory of an epoch without cache, at once and ten times the jets."""
    for jets_, sub in ((count, "x1"), (10 * count, "x10")):
        prepare(folder / sub, jets_, files=jets_ // 50_000, root=False)
        words = ["--epoch", "stream", "--peak", "--data", str(folder / sub)]
        done = subprocess.run(
            [sys.executable, __file__, *words], capture_output=True, text=True, check=True
        )
        print(f"{jets_:>9,} jets: seconds and jets {' '.join(done.stdout.split())} MB")


def peak_resident() -> float:
    """In MB; ru_maxrss would include what the parent process held when it started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path(tempfile.gettempdir()) / "rootloom-batches"
    )
    parser.add_argument("--jets", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weaver", help="Python of an environment with weaver-core")
    parser.add_argument("--memory", action="store_true")
    modes = ("first", "second", "stream", "copies", "shards")
    parser.add_argument("--epoch", choices=modes, help=argparse.SUPPRESS)
    parser.add_argument("--groups", type=int, default=8, help=argparse.SUPPRESS)
    parser.add_argument("--modes", nargs="*", default=("files", "fraction", "memory"))
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epoch == "shards":
        shard(options.data)
        return
    if options.epoch:
        ours(options.data, options.epoch, options.batch, options.groups)
        if options.peak:
            print(f"peak resident {peak_resident():.0f}")
        return
    if options.memory:
        memory(options.data, options.jets)
        return
    prepare(options.data, options.jets)
    sizes = {
        s: sum(p.stat().st_size for p in options.data.glob(f"jets*.{s}")) for s in ("root", "h5")
    }
    print(json.dumps({"bytes": sizes, "shards/ROOT": round(sizes["h5"] / sizes["root"], 3)}))
    candidates: dict[str, Callable[[], float]] = {}
    if options.weaver:
        for mode in options.modes:
            candidates[f"weaver-core {mode}"] = child(
                options.weaver, "weaver_epoch.py", options.data, mode, options.batch
            )
    common = ("--data", options.data, "--batch", options.batch)
    for groups, of in ((8, "in groups"), (1, "padded to 128")):
        for mode in ("first", "stream", "second", "copies"):
            words = ("--epoch", mode, "--groups", groups, *common)
            candidates[f"{mode}, {of}"] = child(sys.executable, "batches.py", *words)
    candidates["shards, once"] = child(sys.executable, "batches.py", "--epoch", "shards", *common)
    compare("batches", candidates, options.repeats, items=1000, unit="jets")


if __name__ == "__main__":
    main()
