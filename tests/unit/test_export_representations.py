"""Networks of every representation on rows as an exported network takes them, against `predict`.

A batch of `predict` is made by `collate`, which knows nothing of exported networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from tests.small_models import SMALL

from rootloom.config import registry
from rootloom.errors import ConfigError
from rootloom.export.network import network
from rootloom.export.runtime import Session
from rootloom.export.signature import signature_of
from rootloom.representations.features import FeatureVector
from rootloom.representations.image import JetImage
from rootloom.representations.particle_set import ParticleSet
from rootloom.representations.sphere import PmtSphere
from rootloom.shards.moments import Moments
from rootloom.tasks.classification import Classification
from rootloom.tasks.regression import Regression
from rootloom.testing import Case, Sample, encoded
from rootloom.testing.samples import trees
from rootloom.types import Column, Ragged

pytestmark = pytest.mark.usefixtures("open_sizes")
ROWS = 16
RNG = np.random.default_rng(11)
LABEL = RNG.integers(0, 2, ROWS)


def objects(fields: tuple[str, ...], most: int, seed: int) -> dict[str, Ragged]:
    """0 to `most` objects a row, with positive numbers."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.permutation(np.arange(ROWS) % (most + 1)))])
    return {name: Ragged(rng.exponential(9, offsets[-1]), offsets) for name in fields}


def features() -> Sample:
    rows: dict[str, Column] = {
        "a": RNG.exponential(50, ROWS),
        "b": RNG.normal(size=ROWS),
        **objects(("parts.pt", "parts.d0"), 5, 1),
    }
    representation = FeatureVector(
        ("a", "b"),
        ("parts.pt", "parts.d0"),
        max_objects=3,
        log=("a", "parts.pt"),
        scaling=(("b", 0.5, 2.0),),
        bounds=(("parts.d0", -0.5, 0.7),),
        clip=1.5,
    )
    return encoded(representation, rows, LABEL)


def far_times() -> Sample:
    """Times that float32 cannot tell apart."""
    rows: dict[str, Column] = {"time": 1.7e9 + RNG.normal(size=ROWS), "b": RNG.normal(size=ROWS)}
    sample = encoded(FeatureVector(("time", "b"), log=("b",)), rows, LABEL)
    return replace(sample, representation=sample.representation.centred(sample.moments))


def jets() -> Sample:
    """Named momenta, one of them as a logarithm, for masses."""
    rows: dict[str, Column] = {
        f"{name}{k}": RNG.exponential(50, ROWS) if name == "pt" else RNG.normal(size=ROWS)
        for k in range(3)
        for name in ("pt", "eta", "phi")
    }
    return encoded(FeatureVector(tuple(rows), log=("pt0",)), rows, LABEL)


def two_collections() -> Sample:
    rows: dict[str, Column] = {
        "pt": RNG.exponential(50, ROWS),
        **objects(("tracks.d0", "tracks.z0"), 6, 2),
        **objects(("vertices.m",), 3, 3),
    }
    representation = ParticleSet(
        objects=("tracks.d0", "tracks.z0", "vertices.m"),
        variables=("pt",),
        max_objects=5,
        lengths=(("vertices", 2),),
        tanh=("tracks.z0",),
        log=("pt", "vertices.m"),
        bounds=(("tracks.d0", -1.0, 0.5),),
        scaling=(("vertices.m", 1.0, 0.3),),
        empty=(("tracks.d0", -0.25),),
    )
    return encoded(representation, rows, LABEL)


def image(**fields: Any) -> Sample:
    names = tuple(f"constituents.{name}" for name in ("px", "py", "pz", "e"))
    rows = dict(objects(names, 9, 4))
    rows["constituents.e"] = replace(rows["constituents.e"], values=rows[names[3]].values + 30)
    representation = JetImage(select=None, pixels=13, channels=("pt",), **fields)
    return encoded(representation, rows, LABEL)


def sphere() -> Sample:
    hits = objects(("hits.charge", "hits.time"), 12, 5)
    offsets = hits["hits.time"].offsets
    rows: dict[str, Column] = {
        "hits.pmt": Ragged(RNG.integers(0, 100, offsets[-1]), offsets),
        **hits,
    }
    representation = PmtSphere(
        rings=10, equator=24, unrolled="stretched", wrap=2, turn="heading", mirror=True
    )
    return encoded(representation, rows, LABEL)


def moments(mean: float, std: float) -> Moments:
    return Moments.of(np.array([[mean - std], [mean + std]]))


TARGETS = ("x", "y", "z", "energy")
OF_TARGETS = {f"target.{name}": moments(40.0, 7.0) for name in TARGETS}
CASES: dict[str, tuple[Callable[[], Sample], str, dict[str, Any], int]] = {
    "features": (features, "dnn", SMALL["dnn"], 10),
    "far times": (far_times, "dnn", SMALL["dnn"], 12),
    "masses": (
        jets,
        "lorentz",
        {
            "objects": [[f"{name}{k}" for name in ("pt", "eta", "phi")] for k in range(3)],
            "hidden": (8,),
        },
        14,
    ),
    "two collections": (
        two_collections,
        "deepjet",
        SMALL["deepjet"] | {"charged": "tracks", "neutral": "tracks", "vertices": "vertices"},
        13,
    ),
    "pixels": (lambda: image(scale="pixel"), "cnn", SMALL["cnn"], 11),
    "channels": (lambda: image(scale="channel"), "maxout", SMALL["maxout"], 18),
    "tree": (lambda: trees(ROWS), "recnn", SMALL["recnn"], 10),
    "sphere": (sphere, "cnn", SMALL["cnn"] | {"pools": (2, 2)}, 11),
}


def case_of(name: str) -> Case:
    make, kind, fields, _ = CASES[name]
    sample = make()
    model = registry.resolve("models", kind)(**fields)
    if name == "sphere":
        task: Any = Regression(
            model,
            sample.representation,
            {**sample.moments, **OF_TARGETS},
            targets=TARGETS,
            directions=(TARGETS[:3],),
        )
    else:
        task = Classification(model, sample.representation, sample.moments, ("bkg", "sig"))
    return Case(task, sample.columns)


@pytest.mark.parametrize("name", CASES)
def test_an_exported_network_says_what_predict_says(name: str) -> None:
    case, rows = case_of(name), np.arange(ROWS)
    served = case.task.representation.served(case.columns, rows)
    signature = signature_of(case.task, served)
    signature.check(served)
    model = network(case.task, case.params, signature, opset=CASES[name][3])
    wanted = case.task.predict(case.params, case.local(rows), jax.random.key(0))
    found = Session(model)(served)["predictions"]
    for k, column in enumerate(case.task.columns()):
        np.testing.assert_allclose(found[:, k], wanted[column], rtol=2e-6, atol=2e-6)
    assert np.ptp(found[:, 0]) > 1e-3, "all rows alike"


def test_quantities_are_named_with_what_is_done_to_them() -> None:
    case = case_of("two collections")
    served = case.task.representation.served(case.columns, np.arange(4))
    signature = signature_of(case.task, served)
    inputs = {one.name: one for one in signature.inputs}
    assert list(inputs) == [
        "tracks_features",
        "tracks_mask",
        "vertices_features",
        "vertices_mask",
        "row_features",
    ]
    d0, z0 = inputs["tracks_features"].quantities
    assert (d0.name, d0.low, d0.high, d0.empty) == ("tracks.d0", -1.0, 0.5, -0.25)
    assert z0.transforms == ("tanh",)
    (mass,) = inputs["vertices_features"].quantities
    assert (mass.transforms, mass.centre, mass.scale) == (("log",), 1.0, 0.3)
    assert inputs["tracks_features"].axes == ("batch", "n_tracks", 2)
    assert signature.slots("vertices") == (3, 3)


def test_arrays_of_other_shapes_are_refused() -> None:
    case = case_of("features")
    served = case.task.representation.served(case.columns, np.arange(4))
    signature = signature_of(case.task, served)
    with pytest.raises(ConfigError, match=r"float32 \(batch, 8\)(.|\n)*float32 \(4, 7\)"):
        signature.check(served | {"features": served["features"][:, 1:]})
    with pytest.raises(ConfigError, match="input 'features_mask'"):
        signature.check({"features": served["features"]})


def test_logarithms_without_names_cannot_be_exported() -> None:
    case = case_of("far times")
    unnamed = replace(case.task.representation, variables=None)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="`variables` by name"):
        unnamed.inputs(unnamed.served(case.columns, np.arange(4)), case.task.statistics)
