"""JAX against onnxruntime on the same rows: what is exported says what was trained, or is refused.

A float32 sum depends on its order, so that both differ by rounding. Where that alone exceeds the
tolerance in some rows, JAX in float64 decides: the exported network may be about as far from it as
JAX in float32 is. Half of the rows or more must be within the tolerance in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import jax
import numpy as np

from rootloom.errors import TrainingError
from rootloom.export.network import function_of
from rootloom.export.onnx.model import Function
from rootloom.export.signature import Signature
from rootloom.tasks.base import Params, Predictor

TOLERANCE = 1e-5  # of |difference| / max(1, |value|)
# How much farther from float64 than JAX in float32 a network may be where rounding exceeds that.
ROUNDING = 4.0
BATCHES = (1, 3, 64)
# Rows of which JAX computes the reference at a time.
_ROWS = 16

Arrays: TypeAlias = Mapping[str, np.ndarray]
Outputs: TypeAlias = dict[str, np.ndarray]


@dataclass(frozen=True)
class Difference:
    """The largest |difference| / max(1, |value|), where it is, and what both sides say there.

    row: its number among the rows of the comparison. batch: in which onnxruntime ran. objects: of
    the row, by collection.
    """

    size: float
    output: str = ""
    row: int = -1
    batch: int = 0
    objects: Mapping[str, int] | None = None
    jax: float = 0.0
    onnx: float = 0.0


@dataclass(frozen=True)
class Exact:
    """Largest differences from JAX in float64: of JAX in float32, and of the exported network."""

    jax: float
    onnx: Difference


@dataclass(frozen=True)
class Verdict:
    """rows: compared. largest, median: of the rows' differences from JAX in float32. exact: where
    the largest is above the tolerance.
    """

    rows: int
    largest: Difference
    median: float
    exact: Exact | None = None


def gate(
    task: Predictor,
    params: Params,
    signature: Signature,
    exported: Callable[[Arrays], Outputs],
    genuine: Arrays,
    *,
    seed: int = 1,
) -> Verdict:
    """Compare a network with an exported one on genuine rows and on random ones made of them.

    exported: from arrays that the signature names to its outputs, or some of them: a `Session`, or
    what calls one as a format wants it. The random rows have 0, 1, … to the largest number of
    objects of each collection, which are genuine objects in new company. Raises TrainingError for a
    difference above the tolerance that rounding does not explain.
    """
    rows = rows_to_compare(signature, genuine, np.random.default_rng(seed))
    single = _reference(function_of(task.cast("float32"), scaled=signature.scaled), params, rows)
    largest, of_rows = _compared(single, signature, exported, rows)
    verdict = Verdict(_length(rows), largest, float(np.median(of_rows)))
    if not largest.size <= TOLERANCE:
        double = _in_float64(task, params, signature, rows)
        own = max(_largest(name, double[name], found).size for name, found in single.items())
        other, _ = _compared(double, signature, exported, rows)
        verdict = replace(verdict, exact=Exact(own, other))
    require_equal(verdict)
    return verdict


def rows_to_compare(signature: Signature, genuine: Arrays, rng: np.random.Generator) -> Arrays:
    """Genuine rows, then random ones, in as many slots as a collection may have."""
    room = {name: _with_slots(signature, name, array) for name, array in genuine.items()}
    others = dict(_random(signature, genuine, rng))
    return {name: np.concatenate([array, others[name]]) for name, array in room.items()}


def _random(
    signature: Signature, genuine: Arrays, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays of random rows by name: one for each number of objects, 16 without collections."""
    most = max((signature.most(group) for group in signature.groups), default=15)
    counts = np.arange(most + 1)
    for group in signature.groups:
        yield from _random_objects(signature, group, genuine, counts, rng)
    for one in signature.of_group(""):
        array = genuine[one.name]
        chosen = rng.integers(0, len(array), len(counts))
        mixed = array[chosen]
        if one.role == "features":  # each quantity of another row
            mixed = np.stack([rng.permutation(array[chosen, k]) for k in range(array.shape[1])], 1)
        yield one.name, mixed


def _random_objects(
    signature: Signature, group: str, genuine: Arrays, counts: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Rows of a collection with so many objects, drawn from those of all genuine rows."""
    slots = signature.slots(group)[1]
    inputs = list(signature.of_group(group))
    (mask,) = (genuine[one.name] for one in inputs if one.role == "mask")
    there = np.arange(slots) < np.minimum(counts, signature.most(group))[:, None]
    known = np.flatnonzero(mask.reshape(-1) > 0)
    drawn = rng.choice(known, there.shape) if len(known) else np.zeros(there.shape, np.int64)
    for one in inputs:
        if one.role == "mask":
            yield one.name, there.astype(np.float32)
            continue
        values = genuine[one.name].reshape(-1, genuine[one.name].shape[2])
        objects = values[drawn] if len(known) else rng.normal(size=(*there.shape, values.shape[1]))
        yield one.name, np.where(there[..., None], objects, 0).astype(np.float32)


def _with_slots(signature: Signature, name: str, array: np.ndarray) -> np.ndarray:
    """An array in as many slots as its collection may have."""
    (one,) = (one for one in signature.inputs if one.name == name)
    if not one.group:
        return array
    more = signature.slots(one.group)[1] - array.shape[1]
    return np.pad(array, [(0, 0), (0, more)] + [(0, 0)] * (array.ndim - 2))


def _compared(
    expected: Outputs,
    signature: Signature,
    exported: Callable[[Arrays], Outputs],
    rows: Arrays,
) -> tuple[Difference, np.ndarray]:
    """The largest difference from what is expected over all batches, and that of each row."""
    worst, of_rows = Difference(0.0), np.zeros(_length(rows))
    for size in BATCHES:
        for first in range(0, _length(rows), size):
            part = {name: array[first : first + size] for name, array in rows.items()}
            short = _shortened(signature, part)
            for name, found in exported(short).items():
                wanted = expected[name][first : first + size]
                wanted = wanted[tuple(slice(n) for n in found.shape)]
                apart = _apart(wanted, found).reshape(len(found), -1).max(axis=1, initial=0.0)
                own = of_rows[first : first + size]
                np.maximum(own, apart, out=own)
                one = _largest(name, wanted, found)
                if not one.size <= worst.size:
                    objects = _objects(signature, part, one.row)
                    worst = replace(one, row=first + one.row, batch=size, objects=objects)
    return worst, of_rows


def _reference(function: Function, params: Params, rows: Arrays) -> Outputs:
    """What JAX says of all rows, in the slots that they have."""
    run, parts = jax.jit(function), []
    for first in range(0, _length(rows), _ROWS):
        part = {name: array[first : first + _ROWS] for name, array in rows.items()}
        short = _ROWS - _length(part)
        padded = {
            name: np.pad(array, [(0, short)] + [(0, 0)] * (array.ndim - 1))
            for name, array in part.items()
        }
        found = run(params, padded)
        parts.append({name: np.asarray(array)[: _length(part)] for name, array in found.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _shortened(signature: Signature, rows: Arrays) -> Arrays:
    """Rows in no more slots than their objects need."""
    found = dict(rows)
    for group in signature.groups:
        inputs = list(signature.of_group(group))
        (mask,) = (rows[one.name] for one in inputs if one.role == "mask")
        slots = int((mask > 0).sum(axis=1).max(initial=0))
        found |= {one.name: rows[one.name][:, :slots] for one in inputs}
    return found


def _objects(signature: Signature, rows: Arrays, row: int) -> dict[str, int]:
    masks = (one for one in signature.inputs if one.role == "mask" and one.group)
    return {one.group: int((rows[one.name][row] > 0).sum()) for one in masks}


def _apart(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """|difference| / max(1, |value|); what is not finite on one side alone is infinitely apart."""
    wide, other = wanted.astype(np.float64), found.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(wide - other) / np.maximum(1.0, np.abs(wide))
    return np.where(np.isfinite(apart), apart, np.where(wide == other, 0.0, np.inf))


def _largest(name: str, wanted: np.ndarray, found: np.ndarray) -> Difference:
    """Of one output."""
    apart = _apart(wanted, found)
    if not apart.size:
        return Difference(0.0)
    at = np.unravel_index(int(apart.argmax()), apart.shape)
    return Difference(
        float(apart[at]), name, int(at[0]), jax=float(wanted[at]), onnx=float(found[at])
    )


def _in_float64(task: Predictor, params: Params, signature: Signature, rows: Arrays) -> Outputs:
    """What JAX says in float64."""
    with jax.enable_x64(True):
        wide = {name: array.astype(_widened(array.dtype)) for name, array in rows.items()}
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
        return _reference(function_of(task.cast("float64"), scaled=signature.scaled), params, wide)


def _widened(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float64) if dtype == np.float32 else dtype


def require_equal(verdict: Verdict) -> None:
    """Refuse a difference that is too large; NaN is."""
    worst, limit = verdict.largest, TOLERANCE
    if worst.size <= limit:
        return
    if verdict.exact is not None:
        worst, limit = verdict.exact.onnx, ROUNDING * verdict.exact.jax
        if worst.size <= limit and verdict.median <= TOLERANCE:
            return
    raise TrainingError(
        f"exported network, output '{worst.output}', row {worst.row} with {worst.objects} objects, "
        f"in a batch of {worst.batch}",
        expected=f"{worst.jax}, as JAX says, within {limit:.1e} (times the value if above 1)",
        found=f"{worst.onnx}, {worst.size:.1e} away",
        fix="export the parameters that are compared; if they are, please report this network",
    )


def _length(rows: Arrays) -> int:
    return len(next(iter(rows.values())))
