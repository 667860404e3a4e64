"""Pythia 8 through a few checked calls.

Pythia is under the GPL: it is imported only here, when a simulation runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from rootloom.errors import ConfigError, DataError

if TYPE_CHECKING:
    import awkward as ak
    import pythia8mc

# Above this Pythia uses its default seed, and all files would be identical.
MAX_SEED = 900_000_000
_FAILURES_IN_A_ROW = 100
_CHARM = 4

_QUIET = ("Print:quiet = on", "Print:errors = off", "Random:setSeed = on")

# Arguments of a veto: Pythia's record of the event so far, and the hard process.
Accept: TypeAlias = "Callable[[pythia8mc.Event, pythia8mc.Event], bool]"


class Particles(NamedTuple):
    """Final particles of one event. p4: (n, 4) px, py, pz, E in GeV; pdgid: (n,) int32.

    heavy_p4, heavy_pdgid: the same for its decayed bottom and charm hadrons, for flavour tags.
    tried: hard processes generated up to this event, including vetoed ones.
    cross_section: of the hard process, pb, estimated from them; the weight of one event is
    cross_section / tried.
    """

    p4: np.ndarray
    pdgid: np.ndarray
    tried: int
    cross_section: float
    heavy_p4: np.ndarray
    heavy_pdgid: np.ndarray


def load() -> ModuleType:
    """The pythia8mc module. Raises ConfigError, naming the extra, when it is not installed."""
    try:
        import pythia8mc
    except ImportError as error:
        raise ConfigError(
            "simulation",
            expected="Pythia 8 (package pythia8mc, GPL)",
            found=str(error),
            fix="pip install 'rootloom[simulate]'",
        ) from error
    return pythia8mc


def seed_for(base: int, process: str, number: int) -> int:
    """A seed in 1 … MAX_SEED for one file (or slice) of a dataset, by hash."""
    digest = hashlib.blake2b(f"{base}\0{process}\0{number}".encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % MAX_SEED


class Generator:
    """One Pythia instance.

    settings: Pythia's own lines, `key = value`. Raises ConfigError for a seed outside
    1 … MAX_SEED and for a line Pythia does not know or does not accept.
    scale, accept: the event is vetoed if `accept(record, process)` is false when the evolution of
    showers and multiparton interactions first falls below `scale` GeV. Most time is spent below.
    """

    def __init__(
        self,
        settings: Sequence[str],
        seed: int,
        scale: float = 1.0,
        accept: Accept = lambda record, process: True,
    ) -> None:
        if not 1 <= seed <= MAX_SEED:
            raise ConfigError(
                "simulation: seed",
                expected=f"1 … {MAX_SEED}",
                found=str(seed),
                fix="choose another",
            )
        module = load()
        self._pythia = module.Pythia("", False)
        for line in (*_QUIET, f"Random:seed = {seed}", *settings):
            if not self._pythia.readString(line):
                raise ConfigError(
                    f"simulation: Pythia setting '{line.partition('=')[0].strip()}'",
                    expected="a key Pythia knows, with a value in its range",
                    found=f"'{line}'",
                    fix="see the Pythia manual, or `Pythia.settings.listAll()`",
                )
        # Pythia keeps no reference to the hook: without this one Python would delete it.
        self._hook = _hook(module, self._pythia, scale, accept)
        self._pythia.setUserHooksPtr(self._hook)
        if not self._pythia.init():
            raise ConfigError(
                "simulation", expected="settings Pythia can start with", found="; ".join(settings)
            )
        self._charges: dict[int, int] = {}

    def events(self, batch: int = 50) -> Iterator[Particles]:
        """Final particles of one event after another, without end; the same for any `batch`.

        Raises DataError when whole batches fail.
        """
        failures = 0
        while failures < _FAILURES_IN_A_ROW:
            self._hook.finished.clear()
            found = self._pythia.nextBatch(batch, errorMode="skip")
            failures = 0 if len(found) else failures + 1
            yield from _final(found.layout, self._hook.finished, _cross_section(self._pythia))
        raise DataError(
            "simulation",
            expected="events",
            found=f"{failures} batches without any",
            fix="check the Pythia settings",
        )

    def charges(self, pdgid: np.ndarray) -> np.ndarray:
        """Electric charges, (n,) int8 in units of e."""
        known, inverse = np.unique(pdgid, return_inverse=True)
        for code in known.tolist():
            if code not in self._charges:
                self._charges[code] = round(self._pythia.particleData.charge(code))
        return np.array([self._charges[code] for code in known.tolist()], np.int8)[inverse]


def heaviest_quark(pdgid: np.ndarray) -> np.ndarray:
    """PDG code of the heaviest quark in hadrons (n,), 0 for all else; (n,) int32.

    PDG numbering: the digits nq1 nq2 nq3 above that of the spin, quarks by falling mass.
    """
    code = np.abs(pdgid)
    hadron = (code > 100) & (code < 1_000_000) & ((code // 10) % 10 > 0)  # a diquark has no third
    digits = (code // 1000) % 10, (code // 100) % 10  # of a baryon, of a meson
    return np.where(hadron, np.where(digits[0] > 0, digits[0], digits[1]), 0).astype(np.int32)


def _cross_section(pythia: pythia8mc.Pythia) -> float:
    """Cross section of the hard process so far, pb: Pythia's `sigmaGen` plus the vetoed events."""
    info = pythia.infoPython()
    return float(info.sigmaGen() * 1e9 * info.nSelected() / max(info.nAccepted(), 1))


def _hook(
    module: ModuleType, pythia: pythia8mc.Pythia, scale: float, accept: Accept
) -> pythia8mc.UserHooks:
    complete = module.UserHooks.Status.COMPLETE

    class Veto(module.UserHooks):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tried = 0
            self.finished: list[tuple[int, float]] = []

        def canVetoPT(self) -> bool:  # noqa: N802
            return True

        def scaleVetoPT(self) -> float:  # noqa: N802
            return scale

        def doVetoPT(self, position: int, event: pythia8mc.Event) -> bool:  # noqa: N802
            if position == _IN_DECAY:
                return False
            self.tried += 1
            return not accept(event, pythia.process)

        def onEndEvent(self, status: pythia8mc.UserHooks.Status) -> None:  # noqa: N802
            if status == complete:
                self.finished.append((self.tried, _cross_section(pythia)))

    return Veto()


# Pythia asks again when it showers the products of a resonance: too late to save time.
_IN_DECAY = 5


def _final(
    batch: ak.contents.RecordArray, finished: Sequence[tuple[int, float]], latest: float
) -> Iterator[Particles]:
    # From the array's layout: a high-level array per quantity would cost as much as the clustering.
    events = batch.content("prt")
    particle = events.content
    momentum = particle.content("p")
    status = np.asarray(particle.content("status").data)
    pdgid = np.asarray(particle.content("id").data)
    p4 = [np.asarray(momentum.content(k).data) for k in ("px", "py", "pz", "e")]
    hadrons = heaviest_quark(pdgid) >= _CHARM
    spans = zip(np.asarray(events.starts.data), np.asarray(events.stops.data), strict=True)
    for (start, stop), (tried, sigma) in zip(spans, finished, strict=True):
        final = np.flatnonzero(status[start:stop] > 0) + start
        heavy = np.flatnonzero(hadrons[start:stop]) + start
        # Pythia updates its estimate after an event: there is none yet for the first one.
        yield Particles(
            np.stack([k[final] for k in p4], axis=1),
            pdgid[final].astype(np.int32),
            tried,
            sigma or latest,
            np.stack([k[heavy] for k in p4], axis=1),
            pdgid[heavy].astype(np.int32),
        )
