"""Leading jets of many events, with FastJet; GPL, imported only when a simulation runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from rootloom.errors import ConfigError
from rootloom.types import offsets_of

if TYPE_CHECKING:
    import fastjet


def load() -> ModuleType:
    """The fastjet module, without its banner on stdout. Raises ConfigError when not installed."""
    try:
        import fastjet
    except ImportError as error:
        raise ConfigError(
            "simulation",
            expected="FastJet (package fastjet, GPL)",
            found=str(error),
            fix="pip install 'rootloom[simulate]'",
        ) from error
    return fastjet


def leading_jets(
    p4: Sequence[np.ndarray], radius: float, pt_min: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Constituents of the hardest anti-kT jet of each event.

    p4: an event's particles (n, 4) px, py, pz, E in GeV; pt_min: of the jets, GeV.
    Returns (event (J,), particle (V,), offsets (J + 1,)): events that have a jet, the numbers of
    its constituents among the event's particles, and where each jet's begin.
    """
    with _silenced():
        sequence = _clustered(p4, radius)
        jets = sequence.inclusive_jets(min_pt=pt_min)
        constituents = sequence.constituent_index(min_pt=pt_min)
    pt2 = jets.px**2 + jets.py**2
    hardest = ak.argmax(pt2, axis=1, keepdims=True)
    event = np.flatnonzero(ak.to_numpy(ak.num(pt2)) > 0)
    chosen = ak.drop_none(constituents[hardest][event][:, 0], axis=0)
    counts = ak.to_numpy(ak.num(chosen))
    offsets = offsets_of(counts)
    return event, ak.to_numpy(ak.flatten(chosen)).astype(np.int64), offsets


def jet_momenta(
    p4: Sequence[np.ndarray], radius: float, pt_min: float
) -> tuple[np.ndarray, np.ndarray]:
    """All anti-kT jets of each event, hardest first.

    p4, pt_min: as in `leading_jets`. Returns momenta (J, 4), GeV, and offsets (events + 1,).
    """
    with _silenced():
        jets = _clustered(p4, radius).inclusive_jets(min_pt=pt_min)
    jets = jets[ak.argsort(jets.px**2 + jets.py**2, axis=1, ascending=False)]
    flat = ak.flatten(jets)
    momenta = np.stack([ak.to_numpy(flat[name]) for name in ("px", "py", "pz", "E")], axis=1)
    return momenta, offsets_of(ak.to_numpy(ak.num(jets)))


def _clustered(p4: Sequence[np.ndarray], radius: float) -> fastjet.ClusterSequence:
    module = load()
    definition = module.JetDefinition(module.antikt_algorithm, radius)
    return module.ClusterSequence(_jagged(p4), definition)


def _jagged(p4: Sequence[np.ndarray]) -> ak.Array:
    flat = np.concatenate(p4)
    offsets = offsets_of([len(event) for event in p4])
    fields = [ak.contents.NumpyArray(np.ascontiguousarray(flat[:, k])) for k in range(4)]
    record = ak.contents.RecordArray(fields, ["px", "py", "pz", "E"])
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))


@contextmanager
def _silenced() -> Iterator[None]:
    """Suppress the banner that FastJet prints from C++ on the first clustering."""
    sys.stdout.flush()
    saved, sink = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(sink)
