"""A simulation: jets of two kinds, told apart by one of their variables."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rootloom.rootio.writing import Rows
from rootloom.simulate.base import Simulation, silent


@dataclass(frozen=True)
class Loom(Simulation):
    """Rows of three variables. shift: of `pt` between the processes, in its standard deviations."""

    name: ClassVar[str] = "loom"
    processes: ClassVar[tuple[str, ...]] = ("light", "b")
    tree: ClassVar[str] = "jets"

    shift: float = 1.0

    def blocks(self, process, rows, seed, progress=silent):
        rng = np.random.default_rng([seed, self.processes.index(process)])
        moved = self.shift * (process == "b")
        columns = {name: rng.normal(5, 1, rows) for name in ("pt", "eta", "muons")}
        yield Rows({**columns, "pt": columns["pt"] + moved})
