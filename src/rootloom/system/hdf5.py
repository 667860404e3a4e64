"""Safe reading of HDF5 files that another program may have written.

HDF5 can refer to other files (external storage and links, virtual data sets), contain Python
objects and declare larger arrays than it stores. All this is refused: only data sets of plain
numbers that are stored in the file itself are read.
"""

from __future__ import annotations

import math
import mmap
from pathlib import Path

import h5py
import numpy as np

from rootloom.system.faults import require_no_pipe

# How a global heap of version 1, the only one, begins.
_HEAP = b"GCOL\x01\0\0\0"
_END_BYTES = 1 << 20
_MAX_CHUNK_BYTES = 1 << 30
# Largest compression of the codecs in use: zeros shrink 1,032 times by deflate, 8,000 by Blosc.
_MAX_RATIO, _SMALL = 10_000, 64 << 20


class StrangeError(ValueError):
    """Something in an HDF5 file that is refused. fix: what to do about it."""

    def __init__(self, text: str, fix: str) -> None:
        super().__init__(text)
        self.fix = fix


def require_sound_heaps(path: str | Path, *, ends: bool = False) -> None:
    """Refuse a file in which HDF5 would search texts in an endless loop.

    ends: check only both ends of the file. Texts of attributes lie in "global heaps", lists of
    objects without a checksum. A free object of length 0 makes the library loop forever, and no
    signal ends the loop (HDF5 1.14). Raises OSError, ValueError.
    """
    require_no_pipe(path)
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        if not size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            parts = [(0, size)]
            if ends and size > 2 * _END_BYTES:
                parts = [(0, _END_BYTES), (size - _END_BYTES, size)]
            for start, stop in parts:
                at = data.find(_HEAP, start, stop)
                while at >= 0:
                    _walk_heap(data, at)
                    at = data.find(_HEAP, at + 8, stop)


def _walk_heap(data: mmap.mmap, start: int) -> None:
    """Raise ValueError for objects of length 0 or beyond the heap."""
    stop = min(start + int.from_bytes(data[start + 8 : start + 16], "little"), len(data))
    at = start + 16
    while at + 16 <= stop:
        length = int.from_bytes(data[at + 8 : at + 16], "little")
        if int.from_bytes(data[at : at + 2], "little"):
            at += 16 + -(-length // 8) * 8
        elif length:
            at += length
        else:
            raise ValueError(f"a damaged list of texts (global heap at byte {start})")


def child(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """The group or data set `name` directly in `group`.

    Raises KeyError when there is none, StrangeError for a link to another place.
    """
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
        kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
        raise StrangeError(
            f"'{name}' is {kind} to '{link.path}', which is not followed",
            "copy the data into the file, under that name",
        )
    return group[name]


def subgroup(group: h5py.Group, name: str) -> h5py.Group:
    """The group `name` directly in `group`; raises as `child` does, and for a data set."""
    found = child(group, name)
    if not isinstance(found, h5py.Group):
        raise StrangeError(f"'{name}' is no group", "write a group of data sets there")
    return found


def numbers(dataset: h5py.Group | h5py.Dataset, name: str) -> h5py.Dataset:
    """Return `dataset` if it has plain numbers that are all stored in its own file.

    Raises StrangeError for anything else.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise StrangeError(f"'{name}' is a group", "write an array there")
    _require_inside(dataset, name)
    kind, size = dataset.dtype.kind, dataset.dtype.itemsize
    if kind not in "biuf" or size > 8 or dataset.dtype.subdtype is not None:
        raise StrangeError(
            f"'{name}' holds {_words(dataset.dtype)}", "write numbers of at most 8 bytes"
        )
    if dataset.shape is None:
        raise StrangeError(f"'{name}' has no values at all", "write an array, which may be empty")
    _require_stored(dataset, name)
    return dataset


def records(dataset: h5py.Dataset, name: str) -> h5py.Dataset:
    """Return `dataset` if it is a list of records that are all stored in its own file.

    Raises StrangeError for anything else. Its fields may be of any type.
    """
    _require_inside(dataset, name)
    if dataset.shape is None or len(dataset.shape) != 1 or not dataset.dtype.names:
        raise StrangeError(f"'{name}' is no table of records", "name its group in `path`")
    _require_stored(dataset, name)
    return dataset


def _require_inside(dataset: h5py.Dataset, name: str) -> None:
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL:
        what = "is a virtual data set, made of others"
    elif properties.get_external_count():
        what = "lies in another file (external storage)"
    else:
        return
    raise StrangeError(f"'{name}' {what}", "copy the data into the file: h5repack does")


def _require_stored(dataset: h5py.Dataset, name: str) -> None:
    """Refuse a declared shape that is not stored, before memory is allocated for it."""
    claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
    if not claimed:
        return
    stored = dataset.id.get_storage_size()
    if dataset.chunks is None:
        # Texts among the fields of a record are longer on disk than in memory.
        whole = stored == claimed or (dataset.dtype.hasobject and stored > claimed)
    else:
        places = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
        whole = (
            chunk <= _MAX_CHUNK_BYTES
            and claimed <= max(_SMALL, _MAX_RATIO * stored)
            and dataset.id.get_num_chunks() == places
        )
    if not whole:
        raise StrangeError(
            f"'{name}' declares shape {dataset.shape}, {claimed:,} bytes; {stored:,} are stored",
            "write all of it, in chunks of at most 1 GiB",
        )


def _words(dtype: np.dtype) -> str:
    if h5py.check_string_dtype(dtype) is not None or dtype.kind in "SU":
        return "text"
    if h5py.check_ref_dtype(dtype) is not None:
        return "references"
    return "lists of any length" if dtype.kind == "O" else str(dtype)
