"""Base of all simulations: their interface, and how their files are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from rootloom.errors import require_known
from rootloom.rootio.writing import Rows, write_tree

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """A progress callback that does nothing."""


class Simulation(ABC):
    """A source of events, whose fields are its configuration.

    name: in a configuration.
    processes: what it can simulate.
    tree: name of the TTree it writes.
    level: of compression, see `write_tree`.
    """

    name: ClassVar[str]
    processes: ClassVar[tuple[str, ...]]
    tree: ClassVar[str]
    level: ClassVar[int] = 5

    def generate(
        self,
        process: str,
        rows: int,
        seed: int,
        path: str | Path,
        progress: Progress = silent,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Write `rows` rows of `process` to the TTree of a ROOT file, atomically.

        The same seed gives the same content. progress: called with (rows so far, rows). notes:
        texts stored in the file beside the tree. Raises ConfigError for an unknown process and
        whatever else `blocks` refuses.
        """
        where = f"{self.name}: process"
        require_known([process], self.processes, where, "a process it simulates")
        blocks = self.blocks(process, rows, seed, progress)
        write_tree(path, self.tree, blocks, notes, level=self.level)

    @abstractmethod
    def blocks(
        self, process: str, rows: int, seed: int, progress: Progress = silent
    ) -> Iterator[Rows]:
        """The rows of such a file, in the blocks in which they are written."""
