"""Where compiled kernels are kept: a folder for every state of the source that they are made from.

Numba looks only at the file a kernel stands in. After an edit in another file, of a function that
it calls or a constant that it reads, it would go on running what it compiled before.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

_IMPORT = re.compile(rb"^[ \t]*from rootloom\.([\w.]+) import ([\w, ]*)", re.MULTILINE)


def keep_apart(package: Path) -> None:
    """Name the folder of this state to Numba, unless the environment does."""
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
    """Where imported names may stand: a module, a package, or modules of that package."""
    for module, names in _IMPORT.findall(text):
        place = package.joinpath(*module.decode().split("."))
        yield place.with_suffix(".py")
        yield place / "__init__.py"
        yield from (place / f"{name.strip()}.py" for name in names.decode().split(","))
