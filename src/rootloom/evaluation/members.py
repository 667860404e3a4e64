"""One metric, or the scores of rows, from several trainings of the same method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rootloom.evaluation.measurement import Estimate, Measurement


def summarise(
    values: Sequence[float | None],
    errors: Sequence[float | None],
    *,
    limits: Sequence[float | None] = (),
    why: Sequence[str | None] = (),
) -> Measurement:
    """One metric from M trainings: mean, mean statistical error, spread and median.

    The members have the same test rows, so their statistical errors do not average out. `None`
    stands for an infinite or undefined value and for a missing error; if any member has None, the
    mean is None too. limits, why: by member. The lowest limit holds for all, and is given if every
    member has one; reasons are kept if value or error is missing.
    """
    known = [v for v in values if v is not None]
    complete = len(known) == len(values)
    known_errors = [e for e in errors if e is not None]
    certain = complete and len(known_errors) == len(values)
    several = complete and len(values) > 1
    known_limits = [limit for limit in limits if limit is not None]
    limited = not certain and len(known_limits) == len(values)
    return Measurement(
        value=float(np.mean(known)) if complete else None,
        statistical=float(np.mean(known_errors)) if certain else None,
        spread=float(np.std(known, ddof=1)) if several else None,
        median=float(np.median(known)) if complete else None,
        members=tuple(values),
        at_least=min(known_limits) if limited else None,
        why=None if certain else _reasons(why),
    )


def _reasons(why: Sequence[str | None]) -> str | None:
    """Each reason once, with the number of members to which it applies."""
    given = [reason for reason in why if reason]
    counts = {reason: given.count(reason) for reason in given}
    return (
        "; ".join(
            reason if number == len(why) else f"{number} of {len(why)} members: {reason}"
            for reason, number in counts.items()
        )
        or None
    )


def mean_of(scores: np.ndarray) -> np.ndarray:
    """Mean scores of M members, (M, …) → (…) float32."""
    return scores.mean(axis=0, dtype=np.float64).astype(np.float32)


def by_member(
    names: Sequence[str], scores: Mapping[int, np.ndarray], fold: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Columns (R,) of what the members of a method say of rows.

    names: of C columns. scores: (R, C) by member. fold: (R,) of a cross-validation, of which member
    m left out fold m. A single member's columns have the names; of several there are `NAME__0`, …,
    `NAME__mean`, `NAME__spread` (the standard deviation over members) and, with folds,
    `NAME__left_out`: the score of the member that did not train on the row.
    """
    found: dict[str, np.ndarray] = {}
    members = np.stack(list(scores.values()))  # (M, R, C)
    for number, name in enumerate(names):
        column = members[:, :, number]
        if len(members) == 1:
            found[name] = column[0]
            continue
        found |= {f"{name}__{m}": column[k] for k, m in enumerate(scores)}
        found[f"{name}__mean"] = mean_of(column)
        spread = column.std(axis=0, dtype=np.float64, ddof=1)
        found[f"{name}__spread"] = spread.astype(np.float32)
        if fold is not None:
            left_out = np.array([list(scores).index(f) for f in range(len(scores))])[fold]
            found[f"{name}__left_out"] = column[left_out, np.arange(column.shape[1])]
    return found


def over_members(found: Sequence[Estimate], why: Sequence[str | None] = ()) -> Measurement:
    """A metric over members from their estimates; why: by member, if there is no error."""
    return summarise([known(e.value) for e in found], [known(e.error) for e in found], why=why)


def known(value: float) -> float | None:
    """None instead of an infinite or undefined value."""
    return float(value) if np.isfinite(value) else None
