from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from rootloom.errors import ConfigError
from rootloom.simulate.pythia import MAX_SEED, Generator, seed_for

pytest.importorskip("pythia8mc")

# Cheap events: e+e- → hadrons at the Z pole.
EE = (
    "Beams:idA = 11",
    "Beams:idB = -11",
    "Beams:eCM = 91.2",
    "PDF:lepton = off",
    "WeakSingleBoson:ffbar2gmZ = on",
    "23:onMode = off",
    "23:onIfAny = 1 2 3 4 5",
)


def test_momentum_is_conserved() -> None:
    for event in islice(Generator(EE, 1).events(), 20):
        np.testing.assert_allclose(event.p4.sum(axis=0), [0, 0, 0, 91.2], atol=1e-5)


def test_events_do_not_depend_on_the_batch() -> None:
    one, many = (list(islice(Generator(EE, 5).events(batch), 12)) for batch in (1, 7))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a.p4, b.p4)
        np.testing.assert_array_equal(a.pdgid, b.pdgid)
        assert a.tried == b.tried


def test_vetoed_events_count_as_tried() -> None:
    seen: list[int] = []

    def every_third(event: object, process: object) -> bool:
        seen.append(1)
        return len(seen) % 3 == 0

    settings = (
        "Beams:eCM = 13000.",
        "HardQCD:all = on",
        "PhaseSpace:pTHatMin = 200.",
        "PartonLevel:MPI = off",
        "HadronLevel:all = off",
    )
    free = list(islice(Generator(settings, 3).events(), 150))
    vetoed = list(islice(Generator(settings, 3, 20.0, every_third).events(), 50))
    assert [event.tried for event in vetoed] == [3 * (i + 1) for i in range(50)]
    # The cross section is the hard process's, however many events are vetoed.
    ratio = vetoed[-1].cross_section / free[-1].cross_section
    assert ratio == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("seed", [0, -1, MAX_SEED + 1])
def test_seeds_pythia_would_ignore_are_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed"):
        Generator(EE, seed)


@pytest.mark.parametrize("line", ["Foo:bar = on", "Beams:eCM", "PhaseSpace:pTHatMin = -5"])
def test_settings_pythia_does_not_take_are_refused(line: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Generator([*EE, line], 1)
    assert line.partition(" ")[0] in str(refusal.value)


def test_seeds_differ_and_stay_in_range() -> None:
    seeds = {seed_for(b, p, n) for b in range(5) for p in ("w", "qcd") for n in range(500)}
    assert len(seeds) == 5000
    assert min(seeds) >= 1
    assert max(seeds) <= MAX_SEED
    assert seed_for(1, "w", 0) == seed_for(1, "w", 0)


def test_charges() -> None:
    codes = np.array([211, -211, 22, 11, -11, 2212, 130, 211], np.int32)
    np.testing.assert_array_equal(Generator(EE, 1).charges(codes), [1, -1, 0, -1, 1, 1, 0, 1])


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    next(Generator(EE, 1).events())
    assert capfd.readouterr().out == ""
