"""Padding kernels against awkward's padding and against the loop they replace."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootloom.representations.padding import pad_masked_into
from rootloom.types import Ragged


def ragged(counts: list[int], channels: int, seed: int = 0) -> Ragged:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sum(counts), channels)).astype(np.float32)
    return Ragged(values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def pad(objects: Ragged, rows: np.ndarray, size: int, length: int) -> np.ndarray:
    """Chosen rows (n,) as (size, length, C) float32."""
    values = objects.values if objects.values.ndim == 2 else objects.values[:, None]
    out, mask = np.empty((2, size, length * values.shape[1]), np.float32)
    pad_masked_into(values, objects.offsets, rows, length, 0, out, mask)
    assert ((mask == 1) | (out == 0)).all()
    return out.reshape(size, values.shape[1], length).swapaxes(1, 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_padding_equals_awkward(counts, channels, length, spare, random) -> None:
    objects = ragged(counts, channels)
    rows = np.array([random.randrange(len(counts)) for _ in range(random.randrange(9))], np.int64)
    got = pad(objects, rows, len(rows) + spare, length)
    assert got.dtype == np.float32
    jagged = ak.unflatten(ak.Array(objects.values), counts)[rows]
    zero = np.zeros(channels, np.float32)
    for i in range(len(rows)):
        row = ak.to_list(jagged[i])[:length]
        assert got[i].tolist() == row + [zero.tolist()] * (length - len(row))
    assert not got[len(rows) :].any()


def test_one_number_an_object_is_one_channel() -> None:
    objects = Ragged(np.arange(5, dtype=np.float64), np.array([0, 2, 5]))
    got = pad(objects, np.array([1, 0]), 3, 2)
    assert got.tolist() == [[[2], [3]], [[0], [1]], [[0], [0]]]


def test_only_its_own_columns_are_written_and_nan_is_masked() -> None:
    objects = ragged([3, 0, 1], 2)
    objects.values[1, 0] = np.nan
    out, mask = np.full((4, 10), 7, np.float32), np.full((4, 10), 7, np.float32)
    pad_masked_into(objects.values, objects.offsets, np.array([0, 2, 1]), 2, 3, out, mask)
    untouched = [0, 1, 2, 7, 8, 9]
    assert (out[:, untouched] == 7).all()
    assert (mask[:, untouched] == 7).all()
    assert mask[:, 3:7].tolist() == [[1, 0, 1, 1], [1, 0, 1, 0], [0] * 4, [0] * 4]
    v = objects.values
    assert out[0, 3:7].tolist() == [v[0, 0], 0, v[0, 1], v[1, 1]]
    assert out[1, 3:7].tolist() == [v[3, 0], 0, v[3, 1], 0]
    assert not out[2:, 3:7].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8])
def test_stored_types_become_float32(dtype: type) -> None:
    objects = Ragged(np.array([[1], [2], [3]], dtype), np.array([0, 1, 3]))
    assert pad(objects, np.array([0, 1]), 2, 2)[:, :, 0].tolist() == [[1, 0], [2, 3]]
