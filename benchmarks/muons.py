"""Simulated muons: events a second and core, as a whole and by its parts.

    taskset -c 0 python benchmarks/muons.py

Processor seconds of one thread. "to a ROOT file" is what a simulation job does after its optics
have been traced, which it does once. "PMTs" are the photoelectrons and first hits alone, of one
muon at half the radius from the centre, over and over. "track fits" are those of the
baseline `track_fit`, of as many simulated muons.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import uproot

from common import clocked, compare
from rootloom.physics.scintillator.optics import LIGHT, direct_table
from rootloom.physics.scintillator.photons import DELAY_STEP, trace
from rootloom.physics.scintillator.pmts import arrival_times, first_hits
from rootloom.physics.scintillator.track_fit import fit_track
from rootloom.physics.scintillator.track_light import track_model
from rootloom.simulate.muon_tracks import pieces
from rootloom.simulate.muons import Muons


def pmts_alone(source: Muons, events: int) -> None:
    impact = 0.5 * source.radius
    length = 2.0 * np.sqrt(source.radius**2 - impact**2)
    edges = pieces(impact, length, source.steps)
    along = 0.5 * (edges[1:] + edges[:-1])
    place = np.stack([np.full(len(along), impact), 0.0 * along, along - 0.5 * length], axis=1)
    radius = np.linalg.norm(place, axis=1)
    light = trace(source.optics, photons=1000)
    times = np.array(source.decay_times), np.array(source.decay_shares)
    arrivals = arrival_times(*times, source.transit_time_spread, light.delays, DELAY_STEP)
    rng, rows = np.random.default_rng(1), light.table.at(radius)
    sent = source.photons * 200.0 * np.diff(edges)
    for _ in range(events):
        first_hits(
            source.layout,
            source.acceptance,
            place / radius[:, None],
            rows,
            sent,
            along / LIGHT,
            arrivals,
            rng,
        )


class Fits:
    """Fits of all muons of a file."""

    def __init__(self, source: Muons, path: Path) -> None:
        light = trace(source.optics)
        self.model = track_model(source.radius, light.table, source.arrivals)
        self.pmts = source.layout.direction
        with uproot.open(path) as file:
            columns = [f"hit_{name}" for name in ("pmt", "charge", "time")]
            self.events = list(
                zip(*file["events"].arrays(columns, library="np").values(), strict=True)
            )

    def __call__(self) -> None:
        for pmt, charge, time in self.events:
            fit_track(self.model, self.pmts[pmt], charge, time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--muons", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    source = Muons()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "muons.root"
        candidates = {
            "to a ROOT file": lambda: source.generate("muon", options.muons, 1, path),
            "PMTs": lambda: pmts_alone(source, options.muons),
        }
        candidates["to a ROOT file"]()
        candidates["track fits"] = Fits(source, path)
        timed = {name: clocked(call) for name, call in candidates.items()}
        compare("muons", timed, options.repeats, items=options.muons, unit="muons")
        print(f"  {path.stat().st_size / options.muons / 1000:.1f} kB a muon")
    radii = np.linspace(0.0, source.radius, 178)
    parts = {
        "direct light": lambda: direct_table(source.optics, radii),
        "and all other light": lambda: trace(source.optics),
    }
    compare("optics", {name: clocked(call) for name, call in parts.items()}, 3)


if __name__ == "__main__":
    main()
