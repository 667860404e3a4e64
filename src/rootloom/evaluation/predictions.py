"""The predictions file (HDF5): scores with truth, weight and identity of every row.

Evaluation reads nothing else, so any tagger can be evaluated by writing one (`REQUIREMENTS`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike

from rootloom.errors import FAULTS, InputError, nearest, reason
from rootloom.system import faults, hdf5
from rootloom.system.atomic import Sink, attributes_of, new_hdf5
from rootloom.types import NO_CLASS, UNLABELLED, Ragged, offsets_of

REQUIREMENTS = (
    "data sets id (R,) uint64, weight (R,) float, truth (R,) int index into the classes, and "
    "scores (R, C) float with attribute 'columns' (JSON list of C names: 'score' for two classes, "
    "else 'score_<class>' for each); root attributes method, classes (JSON list) and signal"
)
CHUNK = 65536
_TYPES = {
    "id": np.uint64,
    "file": np.int32,
    "entry": np.int64,
    "object": np.int32,
    "weight": np.float32,
    "truth": np.int32,
    "scores": np.float32,
}
TRAINING_WEIGHT = "training_weight"
# Runs of rows of one input file: number of the file and the first of these rows, (N, 2) int64.
_RUNS = "runs"
# Allowed types of a data set, by NumPy's kinds, and what to write instead of others.
_WHOLE = ("iu", "whole numbers of one integer type")
_KINDS = {
    "id": (*_WHOLE, "number the rows, for example numpy.arange(R, dtype='uint64')"),
    "file": (*_WHOLE, "leave it out, or write int32"),
    "entry": (*_WHOLE, "leave it out, or write int64"),
    "object": (*_WHOLE, "leave it out, or write int32"),
    "weight": ("fiu", "real numbers", "write float32 or float64"),
    TRAINING_WEIGHT: ("fiu", "real numbers", "leave it out, or write float32"),
    "truth": ("iub", "whole numbers", "write the index of each row's class in 'classes', from 0"),
    "scores": ("fiu", "real numbers", "write float32 or float64"),
}
_RUN_NUMBERS = (*_WHOLE, "let the run that wrote the file write it again")
_DISTINCT = ("classes", "columns", "files")
_AUXILIARY = ("fiub", "real numbers", "leave the column out, or write float32")
# Groups "objects/COLLECTION", with the data sets COUNTS, objects a row (R,), and of each quantity
# its values one row after the other (V,).
_OBJECTS, _COUNTS = "objects", "counts"


@dataclass(frozen=True)
class Header:
    """Properties of all rows of a predictions file.

    columns: names of the C scores; files: keys, of which `file` is the index; classes: names, of
    which `truth` is the index; signal: one of them. split: "none" for rows of no class, whose truth
    is -1. parameters, training_seconds: None if unknown. turned: see `baselines.base.Predictor`.
    probability: whether scores are declared to be probabilities of their classes.
    trained_on: whether the method was trained on the dataset of these rows; if not, their mixture
    of classes differs from the one that the probabilities refer to. objects: names of what is said
    of the objects of each row, "collection.quantity".
    """

    method: str
    classes: tuple[str, ...]
    signal: str
    columns: tuple[str, ...]
    files: tuple[str, ...] = ()
    experiment: str = ""
    member: int = 0
    split: str = "test"
    parameters: int | None = None
    training_seconds: float | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)
    turned: tuple[str, ...] = ()
    probability: bool = False
    trained_on: bool = True
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outputs:
    """What a method says of R rows. scores: (R, C). objects: by name, a number for each object."""

    scores: np.ndarray
    objects: Mapping[str, Ragged] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: np.ndarray) -> Outputs:
        """Those with these numbers."""
        return Outputs(self.scores[rows], {n: one.take(rows) for n, one in self.objects.items()})

    @classmethod
    def together(cls, parts: Sequence[Outputs]) -> Outputs:
        """The rows of one or more, one after the other."""
        objects = {
            n: Ragged.together([part.objects[n] for part in parts]) for n in parts[0].objects
        }
        return cls(np.concatenate([part.scores for part in parts]), objects)


@dataclass(frozen=True)
class Rows:
    """R rows. id, file, entry, object, weight, truth: (R,); scores: (R, C); aux: name → (R,).

    id: of the row; with object it gives that of the event (`shards.ids.event_of`).
    weight: the event weight, signed. training_weight: (R,), the weight that the row has (or would
    have) in training, with balance and reweighting; None if the file does not have it.
    objects: what is said of the objects of each row, by name.
    """

    id: np.ndarray
    weight: np.ndarray
    truth: np.ndarray
    scores: np.ndarray
    file: np.ndarray
    entry: np.ndarray
    object: np.ndarray
    aux: Mapping[str, np.ndarray] = field(default_factory=dict)
    training_weight: np.ndarray | None = None
    objects: Mapping[str, Ragged] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.id)

    def take(self, kept: np.ndarray) -> Rows:
        """The rows of an index or mask."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen = {n: c[kept] for n, c in columns.items() if isinstance(c, np.ndarray)}
        aux = {name: values[kept] for name, values in self.aux.items()}
        rows = np.arange(len(self))[kept]
        objects = {name: values.take(rows) for name, values in self.objects.items()}
        return replace(self, aux=aux, objects=objects, **chosen)

    def describe(self, row: int, files: tuple[str, ...]) -> str:
        """A row in words, with file and entry."""
        number = int(self.file[row])
        name = files[number] if 0 <= number < len(files) else f"file {number}"
        place = f"{name}, entry {int(self.entry[row])}, object {int(self.object[row])}"
        return f"id {int(self.id[row])} ({place})"


@dataclass(frozen=True)
class Predictions:
    """A predictions file in memory."""

    header: Header
    rows: Rows

    def that_count(self) -> Predictions:
        """Without rows of weight 0, which are not part of the sample and may have any values."""
        kept = self.rows.weight != 0
        return self if kept.all() else Predictions(self.header, self.rows.take(kept))


class PredictionWriter:
    """Appends rows in limited memory; use through `prediction_writer`."""

    def __init__(self, file: h5py.File, sink: Sink, header: Header) -> None:
        self._file, self._sink, self._header = file, sink, header
        self._rows = 0
        self._runs = [np.empty((0, 2), np.int64)]
        file.attrs.update(_attributes(header))

    def append(self, rows: Rows) -> None:
        """Write R rows after those already there. Raises OSError when the disk is full."""
        for name, dtype in _TYPES.items():
            self._append(name, np.asarray(getattr(rows, name), dtype=dtype))
        if rows.training_weight is not None:
            self._append(TRAINING_WEIGHT, np.asarray(rows.training_weight, dtype=np.float32))
        for name, values in rows.aux.items():
            self._append(f"aux/{name}", np.asarray(values, dtype=np.float32))
        counts = {name.partition(".")[0]: lists.counts() for name, lists in rows.objects.items()}
        for collection, numbers in counts.items():
            self._append(f"{_OBJECTS}/{collection}/{_COUNTS}", numbers.astype(np.int32))
        for name, lists in rows.objects.items():
            self._append(_place_of(name), lists.values.astype(np.float32))
        self._runs.append(_runs_of(np.asarray(rows.file), self._rows))
        self._rows += len(rows)
        self._sink.check()

    def finish(self) -> None:
        """Write where the rows of each input file are."""
        self._append(_RUNS, np.concatenate(self._runs))
        self._sink.check()

    def _append(self, name: str, values: np.ndarray) -> None:
        if name not in self._file:
            shape = values.shape[1:]
            self._file.create_dataset(
                name,
                shape=(0, *shape),
                maxshape=(None, *shape),
                dtype=values.dtype,
                chunks=(CHUNK, *shape),
                shuffle=True,
                compression="gzip",
                compression_opts=1,
                fletcher32=True,  # so that a flipped bit is detected
            )
            if name == "scores":
                self._file[name].attrs["columns"] = json.dumps(self._header.columns)
                self._file[name].attrs["probability"] = self._header.probability
        target = self._file[name]
        start = len(target)
        target.resize(start + len(values), axis=0)
        target[start:] = values


@contextmanager
def prediction_writer(path: str | Path, header: Header) -> Iterator[PredictionWriter]:
    """A writer of `path`, which is complete when the block ends, or absent.

    Raises StorageError if the disk is full.
    """
    with new_hdf5(path) as (file, sink):
        writer = PredictionWriter(file, sink, header)
        writer.append(_no_rows(header))
        yield writer
        writer.finish()


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write a whole predictions file atomically."""
    with prediction_writer(path, predictions.header) as writer:
        writer.append(predictions.rows)


def read_predictions(
    path: str | Path, only: Sequence[str] | None = None, *, objects: bool = False
) -> Predictions:
    """Read a predictions file of rootloom or another tagger.

    only: keys of the input files whose rows are needed, for a file of a `PredictionWriter`; rows of
    other files are not read. objects: whether what is said of the objects of rows is read, too.
    Raises InputError if the file is missing, damaged, incomplete or inconsistent, and says
    what such a file must have. file, entry, object are optional and become −1.
    """
    # Only our own files are read in part, by the friend trees of many packs; their
    # attributes are at the ends of the file.
    with _opened(path, ends=only is not None) as file:
        header = _read_header(str(path), file)
        rows = _read_rows(str(path), file, header, only, objects=objects)
        attributes_of(file, "scores")
    _check(str(path), header, rows)
    return Predictions(header, rows)


def require_named_split(path: str | Path) -> None:
    """Refuse a predictions file of a run whose split is not that of its name.

    One job writes the files of all splits, with the same fingerprint, which therefore cannot show
    that files were exchanged. Raises InputError.
    """
    with _opened(path, ends=True) as file:
        split = _text(file.attrs.get("split", "test"))
    if split != Path(path).stem:
        raise InputError(
            str(path),
            expected=f"predictions for the rows of '{Path(path).stem}', as the name says",
            found=f"those of '{split}'",
            fix="give the files of predictions their names again",
        )


@contextmanager
def _opened(path: str | Path, *, ends: bool) -> Iterator[h5py.File]:
    """The file, open; ends: see `hdf5.require_sound_heaps`. Raises InputError for damage."""
    try:
        hdf5.require_sound_heaps(path, ends=ends)
        with h5py.File(path, "r") as file:
            yield file
    # The error of a damaged file depends on which part is damaged.
    except FAULTS as error:
        faults.pass_on(error, str(path))
        again = "if it is one of ours, delete it and run snakemake again; else write it again"
        raise InputError(
            str(path),
            expected=f"a readable HDF5 file of predictions: {REQUIREMENTS}",
            found=reason(error),
            fix=error.fix if isinstance(error, hdf5.StrangeError) else again,
        ) from None


def _no_rows(header: Header) -> Rows:
    # So that a split without rows still gives a complete file.
    none: dict[str, Any] = {n: np.empty(0, t) for n, t in _TYPES.items() if n != "scores"}
    objects = {n: Ragged(np.empty(0, np.float32), np.zeros(1, np.int64)) for n in header.objects}
    return Rows(scores=np.empty((0, len(header.columns)), np.float32), objects=objects, **none)


def _place_of(name: str) -> str:
    """The data set of "collection.quantity"."""
    return "/".join([_OBJECTS, *name.split(".", 1)])


def _attributes(header: Header) -> dict[str, str | float]:
    values: dict[str, str | float] = {
        "experiment": header.experiment,
        "method": header.method,
        "member": header.member,
        "split": header.split,
        "signal": header.signal,
        "classes": json.dumps(header.classes),
        "files": json.dumps(header.files),
        "provenance": json.dumps(dict(header.provenance), sort_keys=True),
    }
    if not header.trained_on:
        values["trained_on"] = False
    if header.turned:
        values["turned"] = json.dumps(header.turned)
    if header.objects:
        values["objects"] = json.dumps(header.objects)
    if header.parameters is not None:
        values["parameters"] = header.parameters
    if header.training_seconds is not None:
        values["training_seconds"] = header.training_seconds
    return values


def _read_header(where: str, file: h5py.File) -> Header:
    for name in ("method", "classes", "signal"):
        if name not in file.attrs:
            raise _incomplete(where, f"root attribute '{name}'", file.attrs)
    for name in ("id", "weight", "truth", "scores"):
        if name not in file:
            raise _incomplete(where, f"data set '{name}'", file)
    scores = hdf5.child(file, "scores")
    if "columns" not in scores.attrs:
        raise _incomplete(where, "attribute 'columns' of 'scores'", scores.attrs)
    found = file.attrs
    provenance = json.loads(found.get("provenance", "{}"))
    if not isinstance(provenance, dict):
        raise TypeError("attribute 'provenance' is no JSON object")
    return Header(
        method=_text(found["method"]),
        classes=_names(where, "classes", found["classes"]),
        signal=_text(found["signal"]),
        columns=_names(where, "columns", scores.attrs["columns"]),
        files=_names(where, "files", found.get("files", "[]")),
        experiment=_text(found.get("experiment", "")),
        member=int(found.get("member", 0)),
        split=_text(found.get("split", "test")),
        parameters=int(found["parameters"]) if "parameters" in found else None,
        training_seconds=_seconds(found),
        provenance=provenance,
        turned=_names(where, "turned", found.get("turned", "[]")),
        objects=_names(where, "objects", found.get("objects", "[]")),
        probability=_flag(
            f"{where}: attribute 'probability' of 'scores'",
            scores.attrs.get("probability", False),
            "true if scores are probabilities of their classes, else leave it out",
        ),
        trained_on=_flag(
            f"{where}: attribute 'trained_on'",
            found.get("trained_on", True),
            "false if the method was trained on another dataset, else leave it out",
        ),
    )


def _flag(where: str, value: ArrayLike, fix: str) -> bool:
    if np.ndim(value) or value not in (False, True):
        raise InputError(where, expected="true or false", found=repr(value), fix=fix)
    return bool(value)


def _seconds(found: h5py.AttributeManager) -> float | None:
    if "training_seconds" not in found:
        return None
    seconds = float(found["training_seconds"])
    if not np.isfinite(seconds):
        raise ValueError(f"attribute 'training_seconds' is {seconds}")
    return seconds


def _runs_of(files: np.ndarray, first: int) -> np.ndarray:
    """Runs (N, 2) of equal numbers among `files` (R,): the number, and where it begins.

    first: the place of the first row.
    """
    starts = np.flatnonzero(np.diff(files, prepend=files[:1] - 1))
    return np.stack([files[starts].astype(np.int64), starts + first], axis=1)


def _runs_in(where: str, file: h5py.File, header: Header, only: Sequence[str]) -> np.ndarray:
    """Number, start and stop of the requested runs, (N, 3). Raises ValueError for invalid ones."""
    if _RUNS not in file:
        raise _incomplete(where, f"data set '{_RUNS}'", file)
    stored = hdf5.child(file, _RUNS)
    _require_numbers(f"{where}: {_RUNS}", stored, _RUN_NUMBERS, 2)
    found, length = stored[...], len(file["id"])
    edges = np.append(found[:, 1], length)
    if edges[0] != 0 or (np.diff(edges) <= 0).any():
        raise ValueError(f"'{_RUNS}' do not divide {length} rows")
    numbers = {key: number for number, key in enumerate(header.files)}
    wanted = [numbers[key] for key in only if key in numbers]
    return np.column_stack([found, edges[1:]])[np.isin(found[:, 0], wanted)]


def _joined(runs: np.ndarray) -> list[slice]:
    """The rows of runs (N, 3) as slices, with adjacent runs joined."""
    apart = runs[1:, 1] != runs[:-1, 2]
    starts = runs[np.append(True, apart)[: len(runs)], 1]
    stops = runs[np.append(apart, True)[: len(runs)], 2]
    return [slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def _read_rows(
    where: str, file: h5py.File, header: Header, only: Sequence[str] | None, *, objects: bool
) -> Rows:
    names = (*_TYPES, TRAINING_WEIGHT)
    stored = {name: hdf5.child(file, name) for name in names if name in file}
    beside = hdf5.subgroup(file, "aux") if "aux" in file else {}
    auxiliary = {name: hdf5.child(beside, name) for name in beside}
    for name, column in stored.items():
        _require_numbers(f"{where}: {name}", column, _KINDS[name], 2 if name == "scores" else 1)
    for name, column in auxiliary.items():
        _require_numbers(f"{where}: aux/{name}", column, _AUXILIARY, 1)
    length = len(file["id"])
    for name, column in (*stored.items(), *((f"aux/{k}", v) for k, v in auxiliary.items())):
        if len(column) != length:
            raise InputError(
                where,
                expected=f"{length} rows in '{name}', as in 'id'",
                found=f"{len(column)} rows",
                fix="write the file again; every data set holds one value a row",
            )
    if len(header.columns) != stored["scores"].shape[1]:
        raise _other_columns(where, header, stored["scores"].shape)
    runs = None if only is None else _runs_in(where, file, header, only)
    places = [slice(None)] if runs is None else _joined(runs)
    columns: dict[str, Any] = {name: _taken(column, places) for name, column in stored.items()}
    if runs is not None:
        expected = np.repeat(runs[:, 0], runs[:, 2] - runs[:, 1])
        if not np.array_equal(columns["file"], expected):
            raise ValueError(f"'{_RUNS}' that are not those of 'file'")
    absent = {name: _TYPES[name] for name in _TYPES if name not in stored}
    columns |= {name: np.full(len(columns["id"]), -1, dtype) for name, dtype in absent.items()}
    if columns["id"].dtype != np.uint64:
        _require_no_negative(f"{where}: id", columns["id"])
        columns["id"] = columns["id"].astype(np.uint64)
    if columns["truth"].dtype == bool:
        columns["truth"] = columns["truth"].astype(np.int32)
    aux = {name: _taken(column, places) for name, column in auxiliary.items()}
    said = {n: _listed(file, n, places) for n in header.objects} if objects else {}
    return Rows(aux=aux, objects=said, **columns)


def _listed(file: h5py.File, name: str, places: Sequence[slice]) -> Ragged:
    """What is said of objects, of the rows at these places. Raises ValueError for damage."""
    collection, quantity = name.split(".", 1)
    group = hdf5.subgroup(hdf5.subgroup(file, _OBJECTS), collection)
    counts = hdf5.numbers(hdf5.child(group, _COUNTS), _COUNTS)[...]
    values = hdf5.numbers(hdf5.child(group, quantity), name)
    if len(counts) != len(file["id"]) or (counts < 0).any() or counts.sum() != len(values):
        raise ValueError(f"'{_place_of(name)}' has {len(values)} values, not as many as counted")
    offsets = offsets_of(counts)
    spans = [place.indices(len(counts))[:2] for place in places]
    parts = [slice(int(offsets[start]), int(offsets[stop])) for start, stop in spans]
    of_rows = np.concatenate([counts[:0], *(counts[place] for place in places)])
    return Ragged(_taken(values, parts), offsets_of(of_rows))


def _require_numbers(
    where: str, column: h5py.Group | h5py.Dataset, kinds: tuple[str, str, str], dimensions: int
) -> None:
    allowed, expected, fix = kinds
    if not isinstance(column, h5py.Dataset):
        raise InputError(where, expected="a data set", found="a group", fix="write an array there")
    if column.ndim != dimensions:
        shape = "(R, C), one column for each name in 'columns'" if dimensions == 2 else "(R,)"
        raise InputError(
            where,
            expected=f"an array of shape {shape}",
            found=f"shape {column.shape}",
            fix="write two-dimensional scores, also for a single column"
            if dimensions == 2
            else "write one value a row",
        )
    if column.dtype.kind not in allowed:
        text = h5py.check_string_dtype(column.dtype) is not None
        raise InputError(
            where, expected=expected, found="text" if text else str(column.dtype), fix=fix
        )
    hdf5.numbers(column, where.rpartition(": ")[2])


def _require_no_negative(where: str, ids: np.ndarray) -> None:
    if len(ids) and ids.min() < 0:
        raise InputError(
            where,
            expected="whole numbers from 0",
            found=str(ids.min()),
            fix="number the rows, for example numpy.arange(R, dtype='uint64')",
        )


def _taken(column: h5py.Dataset, places: Sequence[slice]) -> np.ndarray:
    return np.concatenate([column[:0], *(column[place] for place in places)])


def _text(value: ArrayLike) -> str:
    """The text or number of an attribute. Raises TypeError unless it has exactly one value."""
    if np.ndim(value) or isinstance(value, h5py.Empty):
        raise TypeError(f"an attribute of text is {value!r}")
    return value.decode() if isinstance(value, bytes) else str(value)


def _names(where: str, attribute: str, text: str | bytes) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except (TypeError, ValueError):
        names = None
    if not isinstance(names, list) or not all(isinstance(n, str | int | float) for n in names):
        raise InputError(
            where,
            expected=f"attribute '{attribute}' to be a JSON list of names",
            found=repr(text),
            fix='for example ["qcd", "w"]',
        )
    found = tuple(str(name) for name in names)
    twice = [name for name, times in Counter(found).items() if times > 1]
    if attribute in _DISTINCT and (twice or (not found and attribute != "files")):
        raise InputError(
            f"{where}: attribute '{attribute}'",
            expected="one name or more, no two alike",
            found=f"'{twice[0]}' twice" if twice else "no name",
            fix="classes, columns and files are identified by their names: give each its own",
        )
    return found


def _incomplete(where: str, lacks: str, present: Iterable[str]) -> InputError:
    held = ", ".join(sorted(present)) or "nothing"
    return InputError(
        where,
        expected=f"{lacks}; a predictions file holds {REQUIREMENTS}",
        found=f"only {held}",
        fix="add what is missing, or let the tagger write the file again",
    )


def _other_columns(where: str, header: Header, shape: tuple[int, ...]) -> InputError:
    return InputError(
        f"{where}: scores",
        expected=f"shape (R, {len(header.columns)}), one column for each name in 'columns'",
        found=f"shape {shape}",
        fix="write two-dimensional scores, also for a single column",
    )


def _check(where: str, header: Header, rows: Rows) -> None:
    if header.signal not in header.classes:
        raise InputError(
            f"{where}: attribute 'signal'",
            expected="one of the classes",
            found=f"'{header.signal}'",
            fix=nearest(header.signal, header.classes),
        )
    _require_probabilities(where, header, rows)
    lowest = NO_CLASS if header.split == UNLABELLED else 0
    outside = (rows.truth < lowest) | (rows.truth >= len(header.classes))
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            f"{where}: truth",
            expected=f"0 to {len(header.classes) - 1}, an index into {list(header.classes)}",
            found=f"{rows.truth[row]} at {rows.describe(row, header.files)}",
            fix="leave rows of other classes out of the file",
        )


def _require_probabilities(where: str, header: Header, rows: Rows) -> None:
    """Refuse finite scores of classes outside [0, 1] that are declared to be probabilities.

    Other columns, and rows of weight 0, which are ignored, may have any values.
    """
    if not header.probability:
        return
    classes = {"score", *(f"score_{name}" for name in header.classes)}
    scores = rows.scores[:, [name in classes for name in header.columns]]
    outside = ((scores < 0) | (scores > 1)) & np.isfinite(scores) & (rows.weight != 0)[:, None]
    outside = outside.any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(
            f"{where}: scores",
            expected="numbers in [0, 1], as attribute 'probability' declares them probabilities",
            found=f"{rows.scores[row].tolist()} at {rows.describe(row, header.files)}",
            fix="leave the attribute out",
        )
