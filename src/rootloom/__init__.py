"""rootloom weaves ROOT files into trained deep-learning models."""

import hashlib as _hashlib
import os as _os
from pathlib import Path as _Path

__version__ = "0.1.0"


def _keep_kernels_apart() -> None:
    """Give compiled kernels a cache folder of their own for every state of the package's source.

    Numba looks only at the file a kernel stands in. After an edit in another file that it calls
    into, it would go on running what it compiled before.
    """
    package = _Path(__file__).parent
    digest = _hashlib.blake2b(digest_size=6)
    for room in ("batches", "physics", "representations", "shards", "simulate"):
        for source in sorted((package / room).rglob("*.py")):
            digest.update(source.read_bytes())
    folder = package / "__pycache__" / f"kernels-{digest.hexdigest()}"
    if _os.access(package, _os.W_OK):
        _os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))


_keep_kernels_apart()
