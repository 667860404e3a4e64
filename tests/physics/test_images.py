"""Jet images against a slow reference written from 1511.05190 §3, with FastJet's subjets."""

from __future__ import annotations

import fastjet._swig as swig
import numpy as np
import pytest

from rootloom.representations.image import JetImage
from rootloom.types import Ragged


def columns_of(jets: Ragged, rows: int = 200) -> dict[str, Ragged]:
    offsets = jets.offsets[: rows + 1]
    values = jets.values[: offsets[-1]]
    return {
        f"constituents.{name}": Ragged(values[:, k], offsets)
        for k, name in enumerate(("px", "py", "pz", "e"))
    }


def reference(p4: np.ndarray, image: JetImage) -> np.ndarray:
    """One image (P, P): centre, rotate, flip, pixelate; plain NumPy and FastJet."""
    particles = [swig.PseudoJet(*map(float, momentum)) for momentum in p4]
    sequence = swig.ClusterSequence(
        particles, swig.JetDefinition(swig.kt_algorithm, image.subjet_radius)
    )
    subjets = sorted(sequence.inclusive_jets(), key=lambda jet: -jet.pt())
    total = swig.PseudoJet(*map(float, p4.sum(axis=0)))
    centre = {"leading_subjet": subjets[0], "jet_axis": total, "none": None}[image.centre]
    y0, phi0 = (centre.rap(), centre.phi()) if centre else (0.0, 0.0)

    def seen_from_centre(jet: swig.PseudoJet) -> np.ndarray:
        return np.array([jet.rap() - y0, np.remainder(jet.phi() - phi0 + np.pi, 2 * np.pi) - np.pi])

    xy = np.array([seen_from_centre(particle) for particle in particles])
    pt = np.array([particle.pt() for particle in particles])
    if image.rotate:
        if len(subjets) >= 2:
            towards = seen_from_centre(subjets[1])
        else:
            mean = np.average(xy, axis=0, weights=pt)
            covariance = np.cov(xy.T, aweights=pt, bias=True)
            towards = np.linalg.eigh(covariance)[1][:, 1]
            towards = towards * np.sign(towards @ mean)
        along = towards / np.linalg.norm(towards)
        # new axes: "down" along the second subjet, "right" a quarter turn before it
        xy = np.stack([xy @ [-along[1], along[0]], -(xy @ along)], axis=-1)
    inside = (np.abs(xy) < image.half_width).all(axis=1)
    edge = image.half_width / image.pixels if image.pixels % 2 else 1e-9  # no middle column
    left, right = inside & (xy[:, 0] < -edge), inside & (xy[:, 0] > edge)
    if image.flip and pt[left].sum() > pt[right].sum():
        xy[:, 0] *= -1
    xy += 1e-9  # what lies on an edge, up to rounding, belongs to the pixel right of or above it
    edges = np.linspace(-image.half_width, image.half_width, image.pixels + 1)
    drawn = np.histogram2d(xy[:, 1], xy[:, 0], bins=[edges, edges], weights=pt)[0]
    if image.norm == "l2":
        drawn /= np.linalg.norm(drawn)
    if image.norm == "sum":
        drawn /= drawn.sum()
    return drawn


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pixels": 128, "half_width": 1.0},
        {"pixels": 32, "centre": "jet_axis", "norm": "sum"},
        {"rotate": False, "norm": "l2"},
        {"flip": False, "subjet_radius": 1.5},  # one subjet: the principal axis
        {"centre": "none", "rotate": False, "flip": False, "half_width": 4.0},
    ],
    ids=str,
)
def test_images_are_the_references(jets: Ragged, options: dict) -> None:
    image = JetImage(select=None, keep_bits=23, **options)
    columns = columns_of(jets)
    drawn = image.collate(image.encode(columns), np.arange(200), 200).x[..., 0]
    same = 0
    for row in range(200):
        p4 = jets.values[jets.offsets[row] : jets.offsets[row + 1]]
        expected = reference(p4, image)
        same += np.allclose(drawn[row], expected, rtol=1e-5, atol=1e-5 * expected.max())
    # A constituent within rounding of a pixel edge may fall to either side.
    assert same >= 199


def test_the_second_subjet_lies_below_and_the_right_is_heavier(jets: Ragged) -> None:
    image = JetImage(select=None, keep_bits=23)
    drawn = image.collate(image.encode(columns_of(jets)), np.arange(200), 200).x[..., 0]
    middle = image.pixels // 2
    assert drawn.sum(axis=0)[middle, middle] == drawn.sum(axis=0).max()
    assert drawn[:, :middle].sum() > 1.5 * drawn[:, middle + 1 :].sum()
    assert drawn[:, :, middle + 1 :].sum() > 1.5 * drawn[:, :, :middle].sum()
