"""Jet images: rootloom beside EnergyFlow's pixelate and standardisation, on the same jets.

    python benchmarks/images.py --energyflow VENV/bin/python

VENV: energyflow 1.4.0 and numpy < 2. EnergyFlow starts from (pT, y, φ), rootloom from (px, py, pz,
E). "as EnergyFlow" does what EnergyFlow does (centre on the jet, 25 × 25 pixels, unit sum);
"1511.05190" clusters subjets, centres, rotates and flips as well. Standardised: mean and deviation
of every pixel over the sample, then (x − mean) / (std + 1e-10). One thread each; processor seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common import clocked, compare
from rootloom.physics.jets import kinematics
from rootloom.physics.jets.observables import jet_momentum
from rootloom.representations.image import JetImage
from rootloom.shards.moments import Moments
from rootloom.types import Ragged
from toy_jets import as_columns, toy_jets

PEER = """
import sys, time
import numpy as np
from energyflow.utils.image_utils import pixelate, standardize, zero_center

content = np.load(sys.argv[1])
jets = np.split(content["jets"], content["offsets"][1:-1])
for line in sys.stdin:
    start = time.process_time()
    x = np.stack([pixelate(jet, npix=25, img_width=2.5) for jet in jets])
    if line.strip() == "standardised":
        zero_center(x)
        standardize(x, channels=[0])
    print(time.process_time() - start, flush=True)
"""


def energyflow(python: str, table: Path) -> Callable[[str], float]:
    """A warm process that pixelates on request and tells the processor seconds it took."""
    process = subprocess.Popen(
        [python, "-c", PEER, str(table)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def call(what: str) -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(what + "\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return call


def polar(jets: Ragged) -> np.ndarray:
    """(V, 3) pT, y, φ; φ from the jet's axis, because EnergyFlow does not fold it."""
    p = jets.values.astype(np.float64)
    axis = np.repeat(kinematics.phi(jet_momentum(p, jets.offsets)), jets.counts())
    phi = kinematics.delta_phi(kinematics.phi(p), axis)
    return np.stack([kinematics.pt(p), kinematics.rapidity(p), phi], axis=-1)


def pixelated(image: JetImage, columns: dict, count: int) -> tuple:
    shard = image.encode(columns)
    return shard, image.collate(shard, np.arange(count), count)


def standardised(image: JetImage, columns: dict, count: int) -> None:
    shard, inputs = pixelated(image, columns, count)
    image.normalise(inputs, {"x": Moments.of(image.sample(shard)["x"])})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--energyflow", help="Python of an environment with energyflow 1.4.0")
    parser.add_argument("--jets", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    jets = toy_jets(options.jets)
    columns, count = as_columns(jets), options.jets
    plain = JetImage(
        select=None, centre="jet_axis", rotate=False, flip=False, norm="sum",
        scale="pixel", scale_floor=1e-10, keep_bits=23,
    )  # fmt: skip
    full = JetImage(select=None, scale="pixel", scale_floor=1e-10)
    shard, _ = pixelated(full, columns, count)
    candidates: dict[str, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.energyflow:
            table = Path(folder) / "jets.npz"
            np.savez(table, jets=polar(jets), offsets=jets.offsets)
            peer = energyflow(options.energyflow, table)
            candidates["EnergyFlow pixelate"] = lambda: peer("pixelated")
            candidates["EnergyFlow, standardised"] = lambda: peer("standardised")
        candidates |= {
            "as EnergyFlow": clocked(lambda: pixelated(plain, columns, count)),
            "as EnergyFlow, standardised": clocked(lambda: standardised(plain, columns, count)),
            "1511.05190": clocked(lambda: pixelated(full, columns, count)),
            "1511.05190, standardised": clocked(lambda: standardised(full, columns, count)),
            "stored images to batches": clocked(
                lambda: full.collate(shard, np.arange(count), count)
            ),
        }
        compare("images", candidates, options.repeats, items=count, unit="jets")


if __name__ == "__main__":
    main()
