"""Checks of the shapes of expressions, from the types of the branches alone."""

from __future__ import annotations

import os

from rootloom.errors import naming
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.header import Header
from rootloom.rootio.names import resolve
from rootloom.rootio.transport.remote import address
from rootloom.system import scratch
from rootloom.system.filelist import File


class Shapes:
    """Checks each reader once for each set of types of its branches."""

    def __init__(self) -> None:
        self._known: set[tuple[str, ...]] = set()

    def require(self, file: File, reader: RowReader, header: Header) -> None:
        """Refuse a list where one value per row is needed, one value in place of a list, and text.

        Reads no entries. reader: that of the file's sample. Nothing is checked if files are copied
        to scratch before they are read; then reading the rows finds such errors.
        Raises ConfigError naming the file, the expression and the type.
        """
        if scratch.VARIABLE in os.environ:
            return
        branches = header.all_branches()
        reader = reader.fitted(branches, file.url)
        types = [
            f"{name}: {branches.get(resolve(branches, name) or '')}" for name in reader.branches()
        ]
        if (known := (file.sample, *types)) in self._known:
            return
        with naming(address(file.url)):
            # The first part also sums over other trees.
            for _ in reader.read(file.url, 0, 0, part=1, friends=file.friends):
                pass
        self._known.add(known)
