from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vector
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rootloom.errors import ConfigError, DataError
from rootloom.representations.image import ImageOptions, JetImage
from rootloom.rootio.dataset import ClassRule, RowReader
from rootloom.rootio.writing import write_tree
from rootloom.types import Image, Ragged

PLAIN = JetImage(select=None, keep_bits=23)


def momenta_of(pt: np.ndarray, y: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Massless momenta (n, 4) from the textbook's formulae."""
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], -1)


def table(jets: list[np.ndarray], **extra: list[np.ndarray]) -> dict[str, Ragged]:
    offsets = np.concatenate([[0], np.cumsum([len(jet) for jet in jets])]).astype(np.int64)
    values = np.concatenate([np.reshape(jet, (-1, 4)) for jet in jets])
    columns = {
        f"constituents.{name}": Ragged(values[:, k], offsets)
        for k, name in enumerate(("px", "py", "pz", "e"))
    }
    for name, parts in extra.items():
        columns[f"constituents.{name}"] = Ragged(np.concatenate(parts), offsets)
    return columns


def draw(image: JetImage, jets: list[np.ndarray], **extra: list[np.ndarray]) -> np.ndarray:
    shard = image.encode(table(jets, **extra))
    return image.collate(shard, np.arange(len(jets)), len(jets)).x


def random_jet(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return momenta_of(rng.exponential(10.0, n), rng.normal(0, 0.3, n), rng.normal(0, 0.3, n))


def test_empty_and_single_constituent_jets() -> None:
    one = momenta_of(np.array([7.0]), np.array([1.3]), np.array([2.9]))
    drawn = draw(PLAIN, [np.zeros((0, 4)), one, np.zeros((0, 4))])
    assert not drawn[0].any()
    assert not drawn[2].any()
    assert drawn[1, 12, 12, 0] == pytest.approx(7.0)
    assert np.count_nonzero(drawn[1]) == 1


def test_one_subjet_turns_its_principal_axis_down_heavier_end_below() -> None:
    pt, y = np.array([20.0, 5.0, 1.0]), np.array([0.0, 0.2, 0.25])
    image = JetImage(select=None, keep_bits=23, centre="none", subjet_radius=1.0)
    drawn = draw(image, [momenta_of(pt, y, np.zeros(3))])[0, ..., 0]
    # a horizontal line of constituents to the right of the centre became a vertical one below it
    assert np.flatnonzero(drawn.sum(axis=0)).tolist() == [12]
    assert drawn[12, 12] == pytest.approx(20.0)
    assert drawn[10, 12] == pytest.approx(6.0)  # 0.2 and 0.25 are two pixels of 0.1 away


def test_constituents_outside_are_not_drawn() -> None:
    jet = momenta_of(np.array([50.0, 3.0]), np.array([0.0, 0.0]), np.array([0.0, 2.0]))
    assert draw(PLAIN, [jet]).sum() == pytest.approx(50.0)


def test_selection_and_channels() -> None:
    jet = momenta_of(np.array([9.0, 4.0, 2.0]), np.zeros(3), np.zeros(3))
    image = JetImage(
        select="trimmed",
        channels=("pt", "charged_pt", "neutral_pt", "charged_count"),
        keep_bits=23,
    )
    drawn = draw(
        image,
        [jet],
        trimmed=[np.array([True, True, False])],
        charge=[np.array([-1, 0, 1], np.int8)],
    )
    assert drawn[0, 12, 12].tolist() == pytest.approx([13.0, 9.0, 4.0, 1.0])


def test_shard_columns_are_sparse_and_small() -> None:
    shard = PLAIN.encode(table([random_jet(1, 40)]))
    assert shard["image.pixel"].values.dtype == np.uint16
    assert shard["image.value"].values.dtype == np.float32
    assert len(shard["image.pixel"].values) <= 40
    assert np.all(np.diff(shard["image.pixel"].values.astype(int)) > 0)
    wide = JetImage(select=None, pixels=300).encode(table([random_jet(1, 40)]))
    assert wide["image.pixel"].values.dtype == np.uint32


def test_collate_takes_rows_and_pads_with_empty_images() -> None:
    jets = [random_jet(seed, 20) for seed in range(5)]
    shard = PLAIN.encode(table(jets))
    x = PLAIN.collate(shard, np.array([3, 1]), 4).x
    assert x.shape == (4, 25, 25, 1)
    np.testing.assert_array_equal(x[:2], draw(PLAIN, [jets[3], jets[1]]))
    assert not x[2:].any()


class Moments:
    def __init__(self, x: np.ndarray) -> None:
        self.mean, self.std = x.mean(axis=0), x.std(axis=0)


@pytest.mark.parametrize("scale", ["none", "channel", "pixel"])
def test_normalise_scales_and_keeps_padding_zero(scale: str) -> None:
    jets = [random_jet(seed, 30) for seed in range(40)]
    image = JetImage(select=None, keep_bits=23, scale=scale)
    shard = image.encode(table(jets))
    sample = image.sample(shard)["x"]
    raw = image.collate(shard, np.arange(40), 50)
    x = image.normalise(raw, {"x": Moments(sample)}).x
    assert x.dtype == np.float32
    assert not x[40:].any()
    if scale == "none":
        np.testing.assert_array_equal(x, raw.x)
    if scale == "channel":
        assert x[:40].std() == pytest.approx(1.0, rel=1e-5)
        np.testing.assert_array_equal(x == 0, raw.x == 0)
    if scale == "pixel":
        expected = (sample - sample.mean(0)) / (sample.std(0) + 1e-5)
        np.testing.assert_allclose(x[:40].reshape(40, -1), expected, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(-10, 10), st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_images_do_not_change_with_the_jets_direction(
    seed: int, n: int, angle: float, boost: float
) -> None:
    jet = random_jet(seed, n)
    px, py, pz, e = jet.T
    moved = np.stack(
        [
            px * np.cos(angle) - py * np.sin(angle),
            px * np.sin(angle) + py * np.cos(angle),
            pz * np.cosh(boost) + e * np.sinh(boost),
            e * np.cosh(boost) + pz * np.sinh(boost),
        ],
        axis=-1,
    )
    here, there = draw(PLAIN, [jet]), draw(PLAIN, [moved])
    # A constituent within rounding of a pixel's edge may change sides: then a grid wider by 1e-6
    # draws another image, too.
    wider = JetImage(select=None, keep_bits=23, half_width=1.25 + 1e-6)
    assume(np.array_equal(here, draw(wider, [jet])))
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 10**6), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_images_do_not_depend_on_the_order_of_constituents(seed: int, n: int) -> None:
    jet = random_jet(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    here, there = draw(PLAIN, [jet]), draw(PLAIN, [jet[order]])
    np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-5)


def test_intensities_are_rounded_as_promised() -> None:
    jets = [random_jet(seed, 30) for seed in range(20)]
    exact, rounded = draw(PLAIN, jets), draw(JetImage(select=None), jets)
    error = np.abs(rounded - exact)[exact > 0] / exact[exact > 0]
    assert 0 < error.max() <= 2.0**-13


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="did you mean 'jet_axis'"):
        JetImage(centre="jet_axs")
    with pytest.raises(ConfigError, match="channels"):
        JetImage(channels=("colour",))
    with pytest.raises(ConfigError, match=r"did you mean 'constituents\.trimmed'"):
        JetImage(select="trimed").needs([], {"constituents": ["px", "py", "pz", "e", "trimmed"]})
    with pytest.raises(ConfigError, match="charge"):
        JetImage(select=None, channels=("charged_pt",)).needs(
            [], {"constituents": ["px", "py", "pz", "e"]}
        )
    jet = random_jet(0, 3)
    jet[1, 2] = np.nan
    with pytest.raises(DataError, match=r"constituents\.pz'.*row 0"):
        draw(PLAIN, [jet])


# -- as what generators make ------------------------------------------------------------------

CHARGED = JetImage(select=None, channels=("pt", "charged_count"), pixels=9, centre="jet_axis")


def stored(image: JetImage, jets: int = 12) -> dict[str, Any]:
    """Shard columns of jets, the first of which is empty."""
    momenta = [np.zeros((0, 4)), *(random_jet(seed, 6 + seed) for seed in range(1, jets))]
    charge = [np.arange(len(jet)) % 2 for jet in momenta]
    return image.encode(table(momenta, charge=charge))


@pytest.mark.parametrize("scale", ["none", "channel", "pixel"])
def test_restoring_is_the_inverse_of_normalising(scale: Any) -> None:
    image = replace(CHARGED, scale=scale, scale_floor=0.01)
    columns = stored(image)
    moments = {name: Moments(x) for name, x in image.sample(columns).items()}
    raw = image.collate(columns, np.arange(12), 14)
    scaled = image.normalise(raw, moments)
    assert (scale == "none") == np.array_equal(scaled.x, raw.x)
    np.testing.assert_allclose(image.restore(scaled, moments).x, raw.x, rtol=1e-5, atol=1e-5)
    assert not image.restore(scaled, moments).x[[0, 12, 13]].any()


def test_written_images_are_read_back(tmp_path: Path) -> None:
    columns = stored(CHARGED)
    inputs = CHARGED.collate(columns, np.arange(12), 12)
    whole = CHARGED.decode(inputs._replace(x=inputs.x - 1e-4), ImageOptions(threshold=0.2))
    write_tree(tmp_path / "made.root", "jets", [whole])
    dataset = RowReader("jets", {"pt": "pt"}, classes=(ClassRule("w", by_file=True),))
    reader, names = CHARGED.read_back(dataset)
    (block,) = reader.read(
        str(tmp_path / "made.root"), 0, 12, file_class="w", columns=names, unlabelled=False
    )
    again = CHARGED.recode(block.columns)
    expected = np.where(inputs.x - 1e-4 > 0.2, inputs.x - 1e-4, 0)
    found = CHARGED.collate(again, np.arange(12), 12).x
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert again["image.pixel"].values.dtype == columns["image.pixel"].values.dtype
    # Where a pixel lies: at the middle of its ninth of ±1.25 about the axis.
    lists = whole.lists["pixel"]
    row, rest = np.divmod(lists["id"].values, 18)
    step = 2 * CHARGED.half_width / 9
    np.testing.assert_allclose(lists["phi"].values, (row - 4) * step, atol=1e-6)
    np.testing.assert_allclose(lists["y"].values, (rest // 2 - 4) * step, atol=1e-6)
    np.testing.assert_array_equal(lists["channel"].values, rest % 2)


def test_observables_of_images_are_those_of_massless_pixels() -> None:
    columns = stored(CHARGED)
    inputs = CHARGED.collate(columns, np.arange(12), 12)
    names = [(one.name, one.unit) for one in CHARGED.observables()]
    found = dict(zip((name for name, _ in names), CHARGED.observe(inputs).T, strict=True))
    assert dict(names)["pt_mass"] == "GeV"
    assert dict(names)["charged_count_sum"] == ""
    assert not any("charged_count_mass" in name for name in found)
    at = (np.arange(9) - 4) * 2 * CHARGED.half_width / 9
    phi, y = np.meshgrid(at, at, indexing="ij")
    for row, image in enumerate(inputs.x[..., 0]):
        pixels = vector.array({"pt": image.ravel(), "eta": y.ravel(), "phi": phi.ravel(),
                               "mass": np.zeros(81)})  # fmt: skip
        total = vector.obj(px=pixels.px.sum(), py=pixels.py.sum(), pz=pixels.pz.sum(),
                           E=pixels.E.sum())  # fmt: skip
        assert found["pt_pt"][row] == pytest.approx(total.pt, rel=1e-5, abs=1e-6)
        assert found["pt_mass"][row] == pytest.approx(total.mass if row else 0, rel=1e-4, abs=1e-3)
        assert found["pt_active"][row] == np.count_nonzero(image)
        assert found["pt_sum"][row] == pytest.approx(image.sum(), rel=1e-5)
    units = {one.unit for one in replace(CHARGED, norm="sum").observables()}
    assert units == {""}


def test_means_of_flat_images_are_drawn_as_images() -> None:
    columns = stored(CHARGED)
    flat = CHARGED.flat(CHARGED.collate(columns, np.arange(12), 12))
    drawn = CHARGED.draw(columns, np.arange(12))
    for mean, images in zip(CHARGED.images(flat.mean(axis=0)[None]), drawn, strict=True):
        np.testing.assert_allclose(mean[0], images.mean(axis=0), rtol=1e-6)
    assert CHARGED.condition(Image(np.zeros((5, 9, 9, 2), np.float32))).shape == (5, 0)
