"""The cache of compiled kernels: one folder for every state of their source files.

Numba checks only the file of a kernel. After an edit in another file, of a function that the
kernel calls or a constant that it reads, it would still run the old compiled code.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

_IMPORT = re.compile(rb"^[ \t]*from rootloom\.([\w.]+) import ([\w, ]*)", re.MULTILINE)


def keep_apart(package: Path) -> None:
    """Set Numba's cache folder for this state of the source, unless the environment sets one."""
    digest = hashlib.blake2b(digest_size=6)
    for content in sources(package).values():
        digest.update(content)
    folder = package / "__pycache__" / f"kernels-{digest.hexdigest()}"
    if os.access(package, os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))


def sources(package: Path) -> dict[Path, bytes]:
    """Files of a package that have kernels, and those they import, with their content."""
    texts = {path: path.read_bytes() for path in sorted(package.rglob("*.py"))}
    found: dict[Path, bytes] = {}
    todo = [path for path, text in texts.items() if b"import njit" in text]
    while todo:
        path = todo.pop()
        if path in texts and path not in found:
            found[path] = texts[path]
            todo.extend(_imported(package, texts[path]))
    return dict(sorted(found.items()))


def _imported(package: Path, text: bytes) -> Iterator[Path]:
    """Files in which imported names may be defined: a module, a package, or its modules."""
    for module, names in _IMPORT.findall(text):
        place = package.joinpath(*module.decode().split("."))
        yield place.with_suffix(".py")
        yield place / "__init__.py"
        yield from (place / f"{name.strip()}.py" for name in names.decode().split(","))
