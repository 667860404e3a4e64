"""The layout of a shard file; everything another program needs to read one.

    /<split>/<column>           dense column, (R, ...)
    /<split>/<column>/values    ragged column, (V, ...)
    /<split>/<column>/offsets   (R + 1,) int64: row i is values[offsets[i]:offsets[i + 1]]
    /none/…                     the same, of rows that `select` keeps and no class claims; label -1

Plain `h5py` with `import hdf5plugin` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from rootloom.errors import ResultError, reason
from rootloom.system import faults

# Changes: 2, the identity of a row comes from its event and object number; 3, rows of no class in
# "none", and a digest of the attributes.
SCHEMA_VERSION = 3
BASE_COLUMNS: dict[str, np.dtype] = {
    "entry": np.dtype(np.int64),
    "object": np.dtype(np.int32),
    "label": np.dtype(np.int32),
    "weight": np.dtype(np.float32),
    "id": np.dtype(np.uint64),
}
# Columns that only some datasets have: the code of the row's sample, and their own training weight.
SAMPLE, TRAINING_WEIGHT = "sample", "training_weight"
AUXILIARY = "aux."
# Beside these a shard has the inputs of its representation.
_NO_INPUTS = (*BASE_COLUMNS, SAMPLE, TRAINING_WEIGHT)
# 256 kB fit into the second-level cache while a chunk is decoded; 1 MB chunks read 10–30 % slower.
_CHUNK_BYTES = 1 << 18
# Dense columns are read in blocks of a few thousand rows: a longer chunk would be decoded again for
# each block inside it.
_CHUNK_ROWS = 1 << 11


def inputs_in(columns: Sequence[str]) -> list[str]:
    """Those of a shard's columns from which inputs of networks are made."""
    return [name for name in columns if name not in _NO_INPUTS and not name.startswith(AUXILIARY)]


def create(
    group: h5py.Group, name: str, dtype: np.dtype, shape: tuple[int, ...], *, per_row: bool
) -> h5py.Dataset:
    """An empty, growing, compressed and checksummed dataset of entries of `shape`.

    per_row: whether it has one entry a row, or as many as the objects of all rows.
    """
    row_bytes = max(1, dtype.itemsize * int(np.prod(shape)))
    rows = 1 << max(0, (_CHUNK_BYTES // row_bytes).bit_length() - 1)
    if per_row:
        rows = min(rows, _CHUNK_ROWS)
    return group.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(rows, *shape),
        dtype=dtype,
        fletcher32=True,  # HDF5 then finds a flipped byte whenever the chunk is read
        track_times=False,  # equal content gives equal bytes
        # The smallest of ten codecs measured on jets, and the fastest of the small ones.
        **hdf5plugin.Blosc2(cname="zstd", clevel=1, filters=hdf5plugin.Blosc2.SHUFFLE),
    )


def read_slice(dataset: h5py.Dataset, start: int, stop: int, out: np.ndarray) -> None:
    """Rows [start, stop) of a dataset straight into `out`, without a temporary array."""
    if start == stop:
        return
    trailing = dataset.shape[1:]
    file_space = dataset.id.get_space()
    file_space.select_hyperslab((start, *(0 for _ in trailing)), (stop - start, *trailing))
    dataset.id.read(h5py.h5s.create_simple((stop - start, *trailing)), file_space, out)


def unreadable(path: str | Path, error: BaseException | str) -> ResultError:
    """The error for a damaged shard, with the fix.

    Raises ResourceError if the machine is at fault, since the shard may be intact.
    """
    if isinstance(error, BaseException):
        faults.pass_on(error, str(path))
    return ResultError(
        str(path),
        expected=f"an intact shard (HDF5, schema version {SCHEMA_VERSION})",
        found=reason(error) if isinstance(error, BaseException) else error,
        fix="delete this file and run snakemake again: it is made again from its ROOT file",
    )
