from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from rootloom.errors import ConfigError, DataError
from rootloom.representations.base import round_mantissa
from rootloom.representations.features import FeatureVector
from rootloom.types import Ragged


class Moments:
    def __init__(self, x: np.ndarray) -> None:
        self.mean, self.std = np.nanmean(x, axis=0), np.nanstd(x, axis=0)


def columns(rows: int = 50, seed: int = 3) -> dict[str, np.ndarray | Ragged]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, rows)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return {
        "pt": rng.exponential(50.0, rows),
        "eta": rng.normal(size=rows),
        "jets.pt": Ragged(rng.exponential(30.0, offsets[-1]), offsets),
    }


def test_layout_padding_and_mask() -> None:
    table = columns()
    representation = FeatureVector(variables=("pt", "eta"), objects=("jets.pt",), max_objects=3)
    shard = representation.encode(table)
    rows = np.array([4, 7, 0])
    inputs = representation.collate(shard, rows, 5)
    assert inputs.x.shape == inputs.mask.shape == (5, 5)
    assert inputs.x.dtype == inputs.mask.dtype == np.float32
    jets = table["jets.pt"]
    for i, row in enumerate(rows):
        leading = jets.values[jets.offsets[row] : jets.offsets[row + 1]][:3]
        padding = 3 - len(leading)
        expected = [table["pt"][row], table["eta"][row], *leading, *[0.0] * padding]
        np.testing.assert_allclose(inputs.x[i], expected, rtol=1e-6)
        assert inputs.mask[i].tolist() == [1.0] * (5 - padding) + [0.0] * padding
    assert not inputs.x[3:].any()
    assert not inputs.mask[3:].any()
    expected_names = ("pt", "eta", "jets.pt[0]", "jets.pt[1]", "jets.pt[2]")
    assert representation.names(shard) == expected_names


def test_standardisation_ignores_padding_and_keeps_it_zero() -> None:
    representation = FeatureVector(objects=("jets.pt",), max_objects=4, log=("pt", "jets.pt"))
    shard = representation.encode(columns())
    sample = representation.sample(shard)["x"]
    inputs = representation.collate(shard, np.arange(50), 64)
    x = np.asarray(representation.normalise(inputs, {"x": Moments(sample)}).x)
    # scikit-learn's scaler leaves NaN out of its moments
    expected = np.nan_to_num(StandardScaler().fit_transform(sample))
    np.testing.assert_allclose(x[:50], expected, atol=1e-5)
    assert not x[50:].any()
    assert not x[np.asarray(inputs.mask) == 0].any()


def test_logarithm_is_odd_and_clip_bounds() -> None:
    table = {"a": np.array([-3.0, 0.0, 3.0]), "b": np.array([0.0, 0.0, 100.0])}
    representation = FeatureVector(log=("a",), clip=1.2)
    x = representation.collate(representation.encode(table), np.arange(3), 3).x
    assert x[:, 0].tolist() == pytest.approx([-np.log(4.0), 0.0, np.log(4.0)], rel=1e-6)
    sample = representation.sample(representation.encode(table))["x"]
    inputs = representation.collate(representation.encode(table), np.arange(3), 3)
    scaled = representation.normalise(inputs, {"x": Moments(sample)}).x
    assert np.abs(scaled).max() == pytest.approx(1.2)


def test_constant_feature_becomes_zero() -> None:
    representation = FeatureVector()
    shard = representation.encode({"a": np.full(4, 7.0)})
    inputs = representation.collate(shard, np.arange(4), 4)
    x = representation.normalise(inputs, {"x": Moments(representation.sample(shard)["x"])}).x
    assert not x.any()


def test_all_declared_variables_in_a_fixed_order() -> None:
    representation = FeatureVector()
    assert representation.needs(["pt", "eta"], {"jets": ["pt"]}) == ("eta", "pt")
    shard = representation.encode(columns())
    assert set(shard) == {"x.eta", "x.pt"}
    other_order = dict(reversed(shard.items()))
    np.testing.assert_array_equal(
        representation.collate(shard, np.arange(9), 9).x,
        representation.collate(other_order, np.arange(9), 9).x,
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_cannot_be_used_are_refused(bad: float) -> None:
    table = columns()
    table["eta"][13] = bad
    with pytest.raises(DataError, match="eta"):
        FeatureVector().encode(table)
    table = columns()
    jets = table["jets.pt"]
    row = int(np.flatnonzero(jets.counts())[-1])
    jets.values[jets.offsets[row]] = bad
    with pytest.raises(DataError, match=rf"jets\.pt.*row {row}"):
        FeatureVector(objects=("jets.pt",)).encode(table)


def test_configuration_refusals_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'eta'"):
        FeatureVector(variables=("etta",)).needs(["eta", "pt"], {})
    with pytest.raises(ConfigError, match="log"):
        FeatureVector(log=("mass",)).needs(["eta", "pt"], {})
    with pytest.raises(ConfigError, match="each name once"):
        FeatureVector(variables=("pt", "pt"))
    with pytest.raises(ConfigError, match="max_objects"):
        FeatureVector(max_objects=0)
    with pytest.raises(ConfigError, match=r"object\.column"):
        FeatureVector(objects=("pt",))


@pytest.mark.parametrize("keep_bits", [3, 7, 12, 23])
def test_mantissa_rounding_keeps_its_promise(keep_bits: int) -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=10000) * 10.0 ** rng.integers(-30, 30, 10000)).astype(np.float32)
    rounded = round_mantissa(values, keep_bits)
    error = np.abs(rounded.astype(np.float64) / values - 1.0).max()
    assert error <= 2.0 ** -(keep_bits + 1)
    # nothing but the bits kept is set
    mantissa = np.frexp(rounded.astype(np.float64))[0] * 2.0 ** (keep_bits + 1)
    assert np.array_equal(mantissa, np.round(mantissa))
    assert round_mantissa(np.zeros(2, np.float32), keep_bits).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("field", ["scaling", "bounds"])
def test_numbers_by_hand_need_variables_by_name(field: str) -> None:
    """The places of features are those of named variables, then of objects."""
    numbers = {field: (("jets.pt", 0.0, 2.0),)}
    FeatureVector(variables=("pt",), objects=("jets.pt",), **numbers)
    with pytest.raises(ConfigError, match="`variables` by name"):
        FeatureVector(objects=("jets.pt",), **numbers)
