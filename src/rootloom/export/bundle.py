"""A trained method in one file, with everything needed to score a new file with it alone.

It is a safetensors file. Arrays: `params/MEMBER/…`, the parameters of each member, and `check/…`,
rows of the validation split with the scores that the members gave them. The header has the rest as
JSON, under the names of the fields of `Bundle`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from rootloom.config.sections import Fields
from rootloom.errors import TrainingError
from rootloom.evaluation.classification.cuts import Cut
from rootloom.shards.ids import HASH
from rootloom.tasks.base import Params
from rootloom.training import tensors
from rootloom.types import Column, Ragged

# Schemas 1 and 2 are of single trainings: `training.trained`.
SCHEMA = 3
CHECKED_ROWS = 64
_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
_PARAMS, _INPUTS, _SCORES = "params", "check/inputs", "check/scores"
_REMAKE = (
    "run snakemake: it writes results/EXPERIMENT/bundles/METHOD.safetensors, and trains again only "
    "what has changed"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """How rows are read from a sample's files.

    reader: fields of a `rootio.dataset.RowReader`: tree, selection, every quantity with its
    expression, classes, weights, splits. friends: where the files of friend trees are, by the
    trees' names: a path with {stem}, {folder} or {key}; None: in the file itself.
    """

    __pydantic_config__ = _STRICT

    reader: Fields
    friends: dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Which events trained: functions of the hash of an event (docs/identity.md).

    shares: of the splits that no expression of a reader decides. folds: of a cross-validation,
    member m of which left out fold m; 0: there is none. simulated: whether the identity of an event
    is made from the key of the simulated file in place of the file's UUID. hash: its constants.
    """

    __pydantic_config__ = _STRICT

    shares: dict[str, float]
    folds: int
    simulated: bool
    hash: dict[str, str | int]


@dataclass(frozen=True, kw_only=True)
class WorkingPoint(Cut):
    """A cut on a score of the validation split, by event weights.

    column: the score; that of several members is their mean. signal: the class it is high for.
    """

    __pydantic_config__ = _STRICT

    signal: str
    column: str


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of the validation split. error: statistical; None if there is none."""

    __pydantic_config__ = _STRICT

    value: float | None
    error: float | None


@dataclass(frozen=True)
class CheckSample:
    """Rows of the validation split and what the members say of them.

    columns: as shards store them. scores: (M, R, C) float32.
    """

    columns: Mapping[str, Column]
    scores: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Record:
    """The JSON data of a bundle.

    experiment, method, dataset: names; the dataset is the one that trained. members: their numbers.
    sources: by sample, "" if there is only one. representation, model, task: sections of the
    configuration. columns: names of the C prediction columns. statistics: what normalises inputs.
    trainings: how that of each member went. metrics: of the mean of the members. device: the kind
    of device that computed the check sample.
    """

    __pydantic_config__ = _STRICT

    experiment: str
    method: str
    dataset: str
    members: list[int]
    sources: dict[str, Source]
    partition: Partition
    representation: Fields
    model: Fields
    task: Fields
    classes: list[str]
    targets: list[str]
    columns: list[str]
    statistics: Fields
    trainings: list[Fields]
    working_points: list[WorkingPoint]
    metrics: dict[str, Metric]
    device: str
    provenance: Fields


@dataclass(frozen=True, kw_only=True)
class Bundle(Record):
    """A method. params: of each member, nested mappings of float32 arrays."""

    params: Sequence[Params]
    check: CheckSample


def save(path: str | Path, bundle: Bundle) -> None:
    """Write atomically."""
    arrays: dict[str, np.ndarray] = {_SCORES: bundle.check.scores}
    for member, params in zip(bundle.members, bundle.params, strict=True):
        arrays |= tensors.flatten(params, f"{_PARAMS}/{member}")
    for name, column in bundle.check.columns.items():
        arrays |= _arrays(f"{_INPUTS}/{name}", column)
    record = {field.name: getattr(bundle, field.name) for field in fields(Record)}
    plain = {name: _plain(value) for name, value in record.items()}
    tensors.write(Path(path), arrays, {"schema": SCHEMA, **plain})


def load(path: str | Path) -> Bundle:
    """Read a bundle.

    Raises TrainingError if it is damaged, of another version or not written by this program, or if
    events are named by another hash than this version's. The check sample is not computed here:
    `stages.scorers.Scorer` does.
    """
    where = str(path)
    arrays, content = tensors.read(Path(path))
    _require_schema(where, content)
    del content["schema"]
    try:
        record: Record = _parser().validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _foreign(f"{where}: {place}", "a field of a bundle", first["msg"]) from None
    _require_names(where, record)
    if record.partition.hash != HASH:
        raise TrainingError(
            f"{where}: partition.hash",
            expected=f"{HASH}, by which this version names events",
            found=str(record.partition.hash),
            fix="use the version of rootloom that wrote the bundle, see its provenance",
        )
    members = _members(where, arrays, record)
    return Bundle(**vars(record), params=members, check=_check_sample(where, arrays, record))


@cache
def _parser() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def _require_schema(where: str, content: Mapping[str, object]) -> None:
    found = content.get("schema")
    if found == SCHEMA:
        return
    single = found in (1, 2)
    raise TrainingError(
        where,
        expected=f"a bundle, of schema {SCHEMA}",
        found=f"schema {found}"
        + (": what one training wrote, which lacks expressions and a check sample" * single),
        fix=_REMAKE if single or found is None else "use a newer version of rootloom",
    )


def _require_names(where: str, record: Record) -> None:
    """Names that are distinct, and one or more of each."""
    for name in ("members", "classes", "columns", "sources"):
        found = list(getattr(record, name))
        if len(set(found)) != len(found) or (not found and name != "classes"):
            raise _foreign(f"{where}: {name}", "one or more, no two alike", repr(found)[:200])


def _members(where: str, arrays: Mapping[str, np.ndarray], record: Record) -> list[Params]:
    """The parameters of each member; raises TrainingError for what are none."""
    prefixes = {f"{_PARAMS}/{member}": member for member in record.members}
    for name, array in arrays.items():
        known = name.startswith((f"{_INPUTS}/", *(f"{one}/" for one in prefixes)))
        if not known and name != _SCORES:
            raise _foreign(f"{where}: {name}", "parameters of a member, or the check sample", name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise _foreign(f"{where}: {name}", "finite numbers", f"{bad} that are not")
        if name.startswith(f"{_PARAMS}/") and array.dtype != np.float32:
            raise _foreign(f"{where}: {name}", "float32 parameters", array.dtype.name)
    whole = tensors.unflatten(arrays, _PARAMS)
    return [whole.get(str(member), {}) for member in record.members]


def _check_sample(where: str, arrays: Mapping[str, np.ndarray], record: Record) -> CheckSample:
    parts = {
        name.removeprefix(f"{_INPUTS}/"): array
        for name, array in arrays.items()
        if name.startswith(f"{_INPUTS}/")
    }
    columns = {name: parts[name] for name in parts if "/" not in name}
    ragged = {name.partition("/")[0] for name in parts if "/" in name}
    found: dict[str, Column] = {**columns}
    scores = arrays.get(_SCORES, np.empty((0, 0, 0), np.float32))
    rows = scores.shape[1] if scores.ndim == 3 else 0
    for name in ragged:
        values, offsets = parts.get(f"{name}/values"), parts.get(f"{name}/offsets")
        if values is None or offsets is None or not _fit(values, offsets):
            raise _foreign(f"{where}: {_INPUTS}/{name}", "values and offsets that fit", "others")
        found[name] = Ragged(values, offsets)
    shape = (len(record.members), rows, len(record.columns))
    if scores.shape != shape or not rows or "id" not in found:
        raise _foreign(f"{where}: {_SCORES}", f"{shape}, and at least one row", str(scores.shape))
    for name, column in found.items():
        if len(column) != rows:
            raise _foreign(f"{where}: {_INPUTS}/{name}", f"{rows} rows", str(len(column)))
    return CheckSample(found, scores)


def _fit(values: np.ndarray, offsets: np.ndarray) -> bool:
    """Whether offsets are those of rows that these values make up."""
    return bool(
        offsets.dtype == np.int64
        and offsets.ndim == 1
        and len(offsets)
        and offsets[0] == 0
        and offsets[-1] == len(values)
        and (np.diff(offsets) >= 0).all()
    )


def _arrays(name: str, column: Column) -> dict[str, np.ndarray]:
    if isinstance(column, Ragged):
        return {f"{name}/values": column.values, f"{name}/offsets": column.offsets}
    return {name: column}


def _plain(value: Any) -> Any:
    """JSON data of a field; numbers that are not finite become null."""
    if isinstance(value, Source | Partition | WorkingPoint | Metric):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _foreign(where: str, expected: str, found: str) -> TrainingError:
    fix = "use an unchanged bundle that a run wrote"
    return TrainingError(where, expected=expected, found=found, fix=fix)
