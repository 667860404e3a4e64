"""Values of a table as numbers of the types that its recipe gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_MAX_EXACT = 2**53 - 1  # the next whole number is not exact in float64


class Fitted(NamedTuple):
    """values: of the type asked for; good: (n,), which fit; expected: what all should have been."""

    values: np.ndarray
    good: np.ndarray
    expected: str

    def first_bad(self) -> int | None:
        """Place of the first value that does not fit."""
        return None if self.good.all() else int(np.argmin(self.good))


def numbers(
    values: np.ndarray, kind: np.dtype, missing: Sequence[float], *, nan: bool = False
) -> Fitted:
    """Numbers (n,) as `kind`; those of `missing` become NaN in a floating type.

    nan: whether NaN is a missing value too, as in files that are not text.
    """
    if kind.kind == "i":
        return _whole(values, kind)
    # In the type of the values: -999.9 of a float32 column is another number in float64.
    marks = np.asarray(missing, values.dtype if values.dtype.kind == "f" else np.float64)
    absent = np.isin(values, marks)
    values = values.astype(np.float64)
    absent |= np.isnan(values) if nan else False
    good = absent | (np.abs(values) <= np.finfo(kind).max)
    fitted = np.where(good & ~absent, values, np.nan).astype(kind)
    return Fitted(fitted, good, f"a finite number ({kind})")


def _whole(values: np.ndarray, kind: np.dtype) -> Fitted:
    most = int(np.iinfo(kind).max)
    if values.dtype.kind in "iub":
        good = (values <= most) & (values >= -most)
    else:
        values = values.astype(np.float64)  # the largest integers are no float32
        most = min(most, _MAX_EXACT)
        good = (values == np.rint(values)) & (np.abs(values) <= most)
    fitted = np.where(good, values, 0).astype(kind)
    return Fitted(fitted, good, f"a whole number of at most ±{most} ({kind})")


def numbers_of_words(values: np.ndarray, words: Mapping[str, int], kind: np.dtype) -> Fitted:
    """The number of each word (n,), spaces around it ignored."""
    values = np.char.strip(values)
    found = np.full(len(values), -1, np.int64)
    known = np.zeros(len(values), bool)
    for word, number in words.items():
        here = values == word
        found[here], known[here] = number, True
    return Fitted(found.astype(kind), known, f"one of: {', '.join(words)}")
