"""Formats of experiments, read as their descriptions say, against scores of the library.

The readers below know nothing of the writers: they follow ParticleNetConstructor of CMSSW
(RecoBTag/FeatureTools/src/deep_helpers.cc), SaltModel of Athena (FlavorTagInference) and the model
repository of Triton, on jets as a dataset has them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from tests.small_models import SMALL

from rootloom.config import registry
from rootloom.errors import ConfigError, TrainingError
from rootloom.export import athena, cmssw, triton
from rootloom.export.formats import FORMATS
from rootloom.export.gate import gate
from rootloom.export.network import network
from rootloom.export.options import Athena, Cmssw, Triton
from rootloom.export.signature import Signature, signature_of
from rootloom.tasks.base import Params
from rootloom.tasks.tracks import TrackClassification
from rootloom.testing import Case, case_of
from rootloom.testing.samples import Sample, encoded, particles
from rootloom.types import Column, Ragged

pytestmark = pytest.mark.usefixtures("open_sizes")
ROWS = 16
Jet = Mapping[str, np.ndarray]


def raw(columns: Mapping[str, Column], row: int) -> dict[str, np.ndarray]:
    """A jet as the dataset has it: quantities by name, several of objects."""
    found = {}
    for name, column in columns.items():
        if name.startswith("set."):
            assert isinstance(column, Ragged)
            found[name[4:]] = column.values[column.offsets[row] : column.offsets[row + 1]]
        elif name.startswith("row."):
            assert isinstance(column, np.ndarray)
            found[name[4:]] = column[row : row + 1]
    return found


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def case_named(name: str) -> Case:
    return case_of(registry.resolve("models", name)(**SMALL[name]))


def described(case: Case, *, scaled: bool = False) -> Signature:
    served = case.task.representation.served(case.columns, np.arange(ROWS))
    return signature_of(case.task, served, scaled=scaled)


def scores(case: Case, params: Params) -> np.ndarray:
    found = case.task.predict(params, case.local(np.arange(ROWS)), jax.random.key(0))
    return np.asarray(found["score"])


# -- CMSSW --------------------------------------------------------------------------------------


def constructed(preprocess: dict[str, Any], jet: Jet) -> dict[str, np.ndarray]:
    """Inputs of one jet by group: (1, variables, length)."""
    values = {name.replace(".", "_"): array for name, array in jet.items()}
    found = {}
    for group in preprocess["input_names"]:
        how = preprocess[group]
        low = how.get("min_length", how.get("var_length"))
        high = how.get("max_length", how.get("var_length"))
        collection = group.rpartition("_")[0]
        count = next((len(v) for n, v in values.items() if n.startswith(f"{collection}_")), 1)
        count = 1 if collection == "row" else count
        length = min(max(count, low), high)
        rows = []
        for name in how["var_names"]:
            info = how["var_infos"][name]
            x = values[name] if name in values else np.ones(count)  # a mask
            x = np.where(np.isfinite(x) & (np.abs(x) <= 1e32), x, info["replace_inf_value"])
            x = (x - info["median"]) * info["norm_factor"]
            x = np.clip(x, info["lower_bound"], info["upper_bound"])[:length]
            pad = info.get("pad", 0.0)
            assert info["lower_bound"] <= pad <= info["upper_bound"]
            rows.append(np.concatenate([x, np.full(length - len(x), pad)]))
        found[group] = np.stack(rows)[None].astype(np.float32)
    return found


@pytest.mark.parametrize(
    ("name", "scaled"),
    [("particle_net", False), ("deep_sets", True), ("deepjet", True)],
)
def test_cmssw_says_the_same_of_raw_jets(name: str, scaled: bool) -> None:
    case = case_named(name)
    if scaled:  # the file has no word for a logarithm
        plain = replace(case.task.representation, log=())  # type: ignore[type-var]
        case = Case(replace(case.task, representation=plain), case.columns)
    signature = described(case, scaled=scaled)
    options = Cmssw(opset=11)
    model = cmssw.model_of(case.task, case.params, signature, options)
    preprocess = json.loads(json.dumps(cmssw.preprocess_of(case.task, signature, options)))
    run, wanted = session(model), scores(case, case.params)
    for row in range(ROWS):
        arrays = constructed(preprocess, raw(case.columns, row))
        (found,) = run.run(["softmax"], arrays)
        np.testing.assert_allclose(found, [[1 - wanted[row], wanted[row]]], rtol=0, atol=2e-6)


def test_cmssw_refuses_a_logarithm_that_nobody_would_take() -> None:
    case = case_named("deep_sets")
    with pytest.raises(ConfigError, match=r"parts.pt(.|\n)*preprocessing: graph"):
        cmssw.preprocess_of(case.task, described(case, scaled=True), Cmssw())


# -- Athena -------------------------------------------------------------------------------------


def tracks(rows: int) -> Sample:
    """The jets of `particles` with origins and vertices of their particles."""
    sample = particles(rows)
    parts = sample.columns["set.parts.pt"]
    assert isinstance(parts, Ragged)
    rng = np.random.default_rng(2)
    labels = {
        name: Ragged(rng.integers(0, 4, len(parts.values)), parts.offsets)
        for name in ("parts.origin", "parts.vertex")
    }
    columns = {k.partition(".")[2]: v for k, v in sample.columns.items() if "." in k}
    representation = replace(sample.representation, labels=tuple(labels))  # type: ignore[type-var]
    label = np.asarray(sample.columns["label"])
    return encoded(representation, columns | labels, label)


def track_case() -> Case:
    sample = tracks(40)
    task = TrackClassification(
        registry.resolve("models", "gn2")(**SMALL["gn2"]),
        sample.representation,
        sample.moments,
        ("u", "c", "b"),
        origin="parts.origin",
        vertex="parts.vertex",
    )
    return Case(task, sample.columns)


def read_by_athena(run: Any, jet: Jet) -> dict[str, np.ndarray]:
    """Outputs of one jet: inputs by the metadata, without an axis of jets."""
    config = json.loads(run.get_modelmeta().custom_metadata_map["gnn_config"])
    assert config["onnx_model_version"] == "v1"
    (jets,) = config["inputs"]
    inputs = {"jet_features": np.array([[jet[v["name"]][0] for v in jets["variables"]]], "f4")}
    for sequence in config["input_sequences"]:
        kind = sequence["name"].split("_")[0].rstrip("s")
        arrays = [
            (jet[f"parts.{v['name']}"] - v["offset"]) * v["scale"] for v in sequence["variables"]
        ]
        inputs[f"{kind}_features"] = np.stack(arrays, axis=1).astype(np.float32)
    names = [one.name for one in run.get_outputs()]
    for one in run.get_outputs():  # what SaltModelOutput knows
        assert (one.type, len(one.shape)) in {("tensor(float)", 0), ("tensor(int8)", 1)}
        assert one.name.split("_")[0] == config["model_name"]
    return dict(zip(names, run.run(None, inputs), strict=True))


def partition(pairs: np.ndarray) -> np.ndarray:
    """Numbers of connected components, by SciPy, in the order of their first elements."""
    from scipy.sparse.csgraph import connected_components

    labels = connected_components(pairs)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def test_athena_says_the_same_of_raw_jets_with_any_number_of_tracks() -> None:
    case = track_case()
    params = jax.tree.map(lambda x: x * 1.5, case.params)
    options = Athena(model="GN2v01", sequences={"parts": "tracks_r22default_sd0sort"})
    model = athena.model_of(case.task, params, described(case), options)
    run, task = session(model), case.task
    batch = case.local(np.arange(ROWS))
    wanted = task.predict(params, batch, jax.random.key(0))
    of_tracks = task.serve(params, batch, jax.random.key(0))
    counts = set()
    for row in range(ROWS):
        jet = raw(case.columns, row)
        found, n = read_by_athena(run, jet), len(jet["parts.pt"])
        for name in ("u", "c", "b"):
            value = found[f"GN2v01_p{name}"]
            assert value.shape == ()
            assert abs(value - wanted[f"score_{name}"][row]) < 2e-6
        origin = np.asarray(of_tracks["track_origin"])[row, :n].argmax(axis=1)
        np.testing.assert_array_equal(found["GN2v01_TrackOrigin"], origin)
        pairs = np.asarray(of_tracks["track_pairs"])[row, :n, :n] > 0.5
        np.testing.assert_array_equal(found["GN2v01_VertexIndex"], partition(pairs) if n else [])
        counts.add(n)
    assert {0, 1} <= counts


def test_vertices_are_the_components_of_their_pairs() -> None:
    rng = np.random.default_rng(8)
    for n in (1, 2, 7, 12):
        for share in (0.0, 0.1, 0.3):
            pairs = rng.random((n, n)) < share
            pairs = pairs | pairs.T | np.eye(n, dtype=bool)
            np.testing.assert_array_equal(athena.vertices(pairs, 12), partition(pairs))


def test_athena_knows_no_images() -> None:
    case = case_named("maxout")
    with pytest.raises(ConfigError, match=r"input 'x'(.|\n)*export it as `onnx`"):
        athena.model_of(case.task, case.params, described(case), Athena())


# -- Triton -------------------------------------------------------------------------------------


def tensors(config: str, block: str) -> dict[str, tuple[str, list[int]]]:
    """Type and dims of each tensor of a block of config.pbtxt, by name."""
    inside = re.search(rf"^{block} \[(.*?)^\]", config, re.S | re.M)
    assert inside
    one = r'name: "(\w+)" data_type: (\w+) dims: \[ ([-0-9, ]+) \]'
    return {
        name: (kind, [int(dim) for dim in dims.split(",")])
        for name, kind, dims in re.findall(one, inside[1])
    }


@pytest.mark.parametrize("name", ["particle_net", "cnn", "recnn"])
def test_triton_finds_what_its_configuration_says(name: str) -> None:
    case = case_named(name)
    signature = described(case)
    model = network(case.task, case.params, signature, opset=17)
    options = Triton(model="tagger", batch=64, preferred=(32,))
    files = triton.files_of(model, signature, options)
    config, data = files["tagger/config.pbtxt"].decode(), files["tagger/1/model.onnx"]
    assert re.search(r'key: "MD5:1/model.onnx" value: "(\w+)"', config)[1] == (  # type: ignore[index]
        hashlib.md5(data).hexdigest()
    )
    run = session(onnx.load_from_string(data))
    for block, given in (("input", run.get_inputs()), ("output", run.get_outputs())):
        found = tensors(config, block)
        assert list(found) == [one.name for one in given]
        for one in given:
            kind = {"tensor(float)": "TYPE_FP32", "tensor(int32)": "TYPE_INT32"}[one.type]
            dims = [-1 if isinstance(size, str) else size for size in one.shape[1:]]
            assert found[one.name] == (kind, dims)
    assert files["tagger/tagger_predictions_labels.txt"].split() == [b"score"]
    assert "max_batch_size: 64" in config


# -- the comparison of what each format's own files say -----------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_every_format_pass_the_comparison(name: str) -> None:
    case = case_named("deep_sets")
    options = registry.parse_as(registry.EXPORTED[name], {})
    signature = described(case)
    made = FORMATS[name](case.task, case.params, signature, options)
    served = case.task.representation.served(case.columns, np.arange(8))
    assert gate(case.task, case.params, signature, made.exported, served).largest.size < 1e-6
    other = jax.tree.map(lambda x: x * 1.01, case.params)
    with pytest.raises(TrainingError, match="exported network"):
        gate(case.task, other, signature, made.exported, served)
    assert all(made.files.values())
