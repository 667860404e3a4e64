"""Options of the formats: what `export:` of a method may say. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rootloom.errors import require
from rootloom.representations.inputs import InputQuantity
from rootloom.types import Size

# The first and the last version of the operators of ONNX that can be written.
OLDEST, NEWEST = 10, 20
Opset = Annotated[int, Field(ge=OLDEST, le=NEWEST)]


@dataclass(frozen=True, kw_only=True)
class Onnx:
    """The library's own form. opset: version of the operators. scaled: whether the network takes
    inputs that are scaled already, instead of as they are in the dataset.
    """

    opset: Opset = NEWEST
    scaled: bool = False


@dataclass(frozen=True, kw_only=True)
class Cmssw:
    """For CMSSW. opset: 14 is the newest of its production files. preprocessing: whether the graph
    scales its inputs or preprocess.json says how. names: of quantities in CMSSW, where they are
    others than "collection_quantity".
    """

    opset: Opset = 14
    preprocessing: Literal["graph", "json"] = "graph"
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def scaled(self) -> bool:
        """Whether the network takes scaled inputs."""
        return self.preprocessing == "json"

    def variable(self, quantity: InputQuantity) -> str:
        """What a quantity is called in CMSSW."""
        return self.names.get(quantity.name, quantity.name.replace(".", "_"))


@dataclass(frozen=True, kw_only=True)
class Athena:
    """For Athena. opset: ATLAS writes 20. model: its name, letters and digits, with which names of
    outputs begin. sequences: name of a collection in Athena, which says how objects are selected
    and sorted, such as {"tracks": "tracks_r22default_sd0sort"}. names: of quantities in Athena,
    where they are others.
    """

    scaled: ClassVar[bool] = False

    opset: Opset = 20
    model: str = "Rootloom"
    sequences: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fits = self.model.isalnum() and self.model.isascii()
        require("export for athena, model", fits, "letters and digits", f"'{self.model}'")

    def variable(self, quantity: InputQuantity) -> str:
        """What a quantity is called in Athena."""
        return self.names.get(quantity.name, quantity.name.rpartition(".")[2])

    def sequence(self, group: str) -> str:
        """What a collection is called in Athena."""
        return self.sequences.get(group, group)

    def feature(self, group: str) -> str:
        """The input of a collection: "track_features" of "tracks_r22default_sd0sort"."""
        return f"{self.sequence(group).partition('_')[0].removesuffix('s')}_features"


@dataclass(frozen=True, kw_only=True)
class Triton:
    """For a Triton server. opset: version of the operators. model: name of the model, and of its
    folder. batch: rows of a request at most. preferred: numbers of rows up to which the server
    waits to join requests.
    """

    scaled: ClassVar[bool] = False

    opset: Opset = 17
    model: str = "rootloom"
    batch: Size = 160
    preferred: tuple[Size, ...] = (80,)

    def __post_init__(self) -> None:
        fits = self.model.replace("-", "_").isidentifier() and self.model.isascii()
        require("export for triton, model", fits, "letters, digits, - and _", f"'{self.model}'")
        fits = all(size <= self.batch for size in self.preferred)
        require("export for triton, preferred", fits, f"at most {self.batch}", self.preferred)
