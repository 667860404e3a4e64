"""Names used in configuration files, and where their classes live.

Entries are import paths, resolved on first use: the Snakefile validates configurations in every
job it starts and must not import JAX or Numba for that. In place of a name, a configuration may
give the import path "package.module:Class" of a class of the user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from rootloom.config import own
from rootloom.errors import ConfigError, nearest

T = TypeVar("T")
REGISTRY: dict[str, dict[str, str]] = {
    "models": {
        "dnn": "rootloom.models.dnn:DNN",
        "cnn": "rootloom.models.cnn:CNN",
        "maxout": "rootloom.models.maxout:MaxOut",
        "recnn": "rootloom.models.recnn:RecNN",
        "table_resnet": "rootloom.models.table_resnet:TableResNet",
        "lorentz": "rootloom.models.lorentz:Lorentz",
        "deep_sets": "rootloom.models.deep_sets:DeepSets",
        "energy_flow": "rootloom.models.energy_flow:EnergyFlow",
        "deepcsv": "rootloom.models.deepcsv:DeepCSV",
        "deepjet": "rootloom.models.deepjet:DeepJet",
        "gn2": "rootloom.models.gn2:GN2",
        "lorentz_net": "rootloom.models.lorentz_net:LorentzNet",
        "particle_net": "rootloom.models.particle_net:ParticleNet",
        "particle_transformer": "rootloom.models.particle_transformer:ParticleTransformer",
        "recurrent": "rootloom.models.recurrent:Recurrent",
        "calogan": "rootloom.models.generators.calogan:CaloGAN",
        "shower_flow": "rootloom.models.generators.shower_flow:ShowerFlow",
        "shower_gan": "rootloom.models.generators.shower_gan:ShowerGAN",
    },
    "representations": {
        "features": "rootloom.representations.features:FeatureVector",
        "jet_image": "rootloom.representations.image:JetImage",
        "calorimeter": "rootloom.representations.calorimeter:CalorimeterCells",
        "calorimeter_image": "rootloom.representations.calorimeter:CalorimeterImage",
        "clustering_tree": "rootloom.representations.tree:ClusteringTree",
        "particle_set": "rootloom.representations.particle_set:ParticleSet",
        "pmt_sphere": "rootloom.representations.sphere:PmtSphere",
    },
    "tasks": {
        "classification": "rootloom.tasks.classification:Classification",
        "regression": "rootloom.tasks.regression:Regression",
        "adversarial": "rootloom.tasks.adversarial:Adversarial",
        "track_classification": "rootloom.tasks.tracks:TrackClassification",
        "flow_matching": "rootloom.tasks.flow_matching:FlowMatching",
    },
    "evaluations": {
        "classification": "rootloom.evaluation.classification.evaluator:Classification",
        "generation": "rootloom.evaluation.generation.evaluator:Generation",
        "regression": "rootloom.evaluation.regression.evaluator:Regression",
    },
    "simulations": {
        "calo": "rootloom.simulate.calo:Calo",
        "higgs": "rootloom.simulate.higgs:Higgs",
        "muons": "rootloom.simulate.muons:Muons",
        "w_jets": "rootloom.simulate.w_jets:WJets",
    },
    "baselines": {
        "cut": "rootloom.baselines.cut:Cut",
        "likelihood": "rootloom.baselines.likelihood:BinnedLikelihood",
        "boosted_trees": "rootloom.baselines.boosted_trees:BoostedTrees",
        "fastest_light": "rootloom.baselines.fastest_light:FastestLight",
        "track_fit": "rootloom.baselines.track_fit:TrackFit",
    },
}
# Options of the formats in which networks are exported.
EXPORTED = {
    "onnx": "rootloom.export.options:Onnx",
    "cmssw": "rootloom.export.options:Cmssw",
    "athena": "rootloom.export.options:Athena",
    "triton": "rootloom.export.options:Triton",
}

# Base class of each group, which declares the members.
BASES = {
    "models": "rootloom.models.base:Model",
    "representations": "rootloom.representations.base:Representation",
    "tasks": "rootloom.tasks.base:Task",
    "evaluations": "rootloom.evaluation.base:EvaluationKind",
    "simulations": "rootloom.simulate.base:Simulation",
    "baselines": "rootloom.baselines.base:Baseline",
}


def names(group: str) -> list[str]:
    """The names of a group, sorted."""
    return sorted(REGISTRY[group])


def path(group: str, name: str) -> str:
    """Import path ("package.module:Class") of an entry, or of a class of the user's own.

    Raises ConfigError for an unknown name.
    """
    if own.is_path(name):
        return name
    if name not in REGISTRY[group]:
        raise ConfigError(
            f"{group[:-1]} '{name}'",
            expected=f"a known {group[:-1]}, or 'package.module:Class'",
            found=f"'{name}'",
            fix=nearest(name, REGISTRY[group]),
        )
    return REGISTRY[group][name]


def resolve(group: str, name: str) -> type:
    """The class behind a name.

    Raises ConfigError for an unknown name, and for an import path that is not that of a complete
    class of this group.
    """
    if own.is_path(name):
        return own.class_of(name, load(BASES[group]), f"{group[:-1]} '{name}'")
    found: type = load(path(group, name))
    return found


def load(target: str) -> Any:
    """The object behind an import path "package.module:name"."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def build(group: str, section: Mapping[str, object]) -> Any:
    """An instance from a configuration section `{kind: name, **fields}`.

    Lists become tuples: configured objects are hashable, so that compiled functions can be keyed by
    them.
    """
    fields = {key: _frozen(value) for key, value in section.items() if key != "kind"}
    return resolve(group, str(section["kind"]))(**fields)


def parse(group: str, section: Mapping[str, object]) -> Any:
    """An instance as of `build`, with all fields checked; sections become their own classes."""
    fields = {key: value for key, value in section.items() if key != "kind"}
    return _checked(resolve(group, str(section["kind"])), fields)


def parse_as(target: str, fields: Mapping[str, object]) -> Any:
    """An instance of the class behind an import path, with all fields checked."""
    return _checked(load(target), fields)


def _checked(cls: type[T], fields: Mapping[str, object]) -> T:
    from pydantic import TypeAdapter

    return TypeAdapter(cls).validate_python(fields)


def _frozen(value: object) -> object:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value
