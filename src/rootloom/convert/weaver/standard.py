"""Automatic standardisation: medians and widths of variables, from the first entries of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rootloom.errors import ConfigError
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.header import inspect
from rootloom.types import Ragged

_QUANTILES = (16, 50, 84)  # percentiles


def standardised(
    files: Sequence[str],
    tree: str,
    rows: Mapping[str, str],
    objects: Mapping[str, str],
    *,
    select: str | None,
    fraction: float,
) -> dict[str, tuple[float, float]]:
    """Centre and scale of each variable, as weaver-core's AutoStandardizer finds them.

    The centre is the median, the scale the inverse of the larger distance from it to the 16th and
    84th percentile, or 1. rows, objects: expressions by name, of one number an entry and of one an
    object; select: of entries. fraction: of each file's entries, the first ones. Raises InputError
    and DataError for what cannot be read.
    """
    # Each in a collection of its own: their lengths need not agree.
    collections = {f"of{n}": {"x": text} for n, text in enumerate(objects.values())}
    columns = {name: f"of{n}.x" for n, name in enumerate(objects)} | {name: name for name in rows}
    values: dict[str, list[np.ndarray]] = {name: [np.zeros(0)] for name in columns}
    reader = RowReader(tree, rows, collections, select=select, classes=(ClassRule("all"),))
    for file in files:
        entries = inspect(file, tree).entries
        for block in reader.read(file, 0, min(entries, max(1, int(fraction * entries)))):
            for name, key in columns.items():
                column = block.columns[key]
                values[name].append(column.values if isinstance(column, Ragged) else column)
    return {name: _numbers(np.concatenate(of), name) for name, of in values.items()}


def _numbers(values: np.ndarray, name: str) -> tuple[float, float]:
    if not len(values):
        raise ConfigError(
            f"preprocess: {name}",
            expected="values in the first entries of the files",
            found="none",
            fix="a larger data_fraction, or more files",
        )
    low, centre, high = np.percentile(values.astype(np.float64), _QUANTILES)
    width = max(high - centre, centre - low)
    return float(centre), float(1 / width) if width > 0 else 1.0
