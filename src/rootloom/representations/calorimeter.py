"""Cells of a layered calorimeter: as they are, or drawn as one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import lcm
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from rootloom import errors
from rootloom.errors import DataError
from rootloom.physics.calorimeter.detector import Segmentation
from rootloom.physics.calorimeter.ratios import cell_ratios, energy_ratios
from rootloom.representations.base import (
    Condition,
    GenerationOptions,
    MomentsLike,
    Panel,
    Representation,
    ragged,
    require,
    require_choice,
    require_declared,
    require_finite,
    round_mantissa,
)
from rootloom.representations.pixels import scatter_into
from rootloom.rootio.occupied import occupied_rows
from rootloom.rootio.writing import Rows
from rootloom.types import Column, Image, Ragged, Shower

_CELL, _VALUE, _ENERGY = "shower.cell", "shower.value", "shower.energy"


@dataclass(frozen=True)
class ShowerOptions(GenerationOptions):
    """Options for generating showers. threshold: GeV; cells at or below it are left out."""

    threshold: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        holds = 0 <= self.threshold < np.inf
        errors.require("generation: threshold", holds, "0 GeV or more", self.threshold)


@dataclass(frozen=True)
class CalorimeterCells(Representation):
    """(B, cells) energies of all cells, and the energy (B,) of the particle, both in GeV.

    objects: the cells that are not empty; they declare `id`, their number, and `energy` in GeV.
    layers: cells along x and y of each layer; cells are numbered layer by layer, then along x, then
    along y, from 0. Numbers beyond the last cell and below 0 are left out: programs use them for
    what no cell saw. half_width: of the square that the cells of a layer cover about the axis, mm;
    generated showers are written with it. variables: the one that holds the particle's energy.
    keep_bits: mantissa bits stored of an energy; 12 keep it to 1.2e-4. threshold: GeV, below which
    generators that learn logarithms take a cell for empty.

    A cell that is named twice holds the sum.
    """

    kind: ClassVar[str] = "calorimeter"
    same_shape: ClassVar[bool] = True
    drawn: ClassVar[bool] = True
    generated: ClassVar[bool] = True
    noun: ClassVar[str] = "shower"
    expressed: ClassVar[bool] = True
    generation: ClassVar[type[GenerationOptions]] = ShowerOptions

    objects: str = "cells"
    layers: tuple[tuple[int, int], ...] = ((3, 96), (12, 12), (12, 6))
    half_width: float = 240.0
    variables: tuple[str, ...] = ("energy",)
    keep_bits: int = 12
    threshold: float = 3e-4

    def __post_init__(self) -> None:
        who = self.kind
        require(who, "keep_bits", 1 <= self.keep_bits <= 23, "1 … 23", self.keep_bits)
        positive = len(self.layers) > 0 and min(min(layer) for layer in self.layers) > 0
        require(who, "layers", positive, "at least one layer with cells", self.layers)
        require(who, "layers", self._size < 1 << 32, "fewer than 2³² cells", self.layers)
        require(who, "half_width", self.half_width > 0, "above 0 mm", self.half_width)
        require(who, "threshold", self.threshold > 0, "above 0 GeV", self.threshold)
        require(who, "variables", len(self.variables) == 1, "one variable", self.variables)

    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """The cells' numbers and energies, and the particle's energy."""
        wanted = (f"{self.objects}.id", f"{self.objects}.energy", *self.variables)
        return require_declared(self.kind, wanted, variables, objects)

    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Sparse: "shower.cell" Ragged uint16/uint32 ascending, "shower.value" Ragged float32.

        "shower.energy": (R,) float32. Raises DataError for energies that are not finite.
        """
        number = ragged(columns, f"{self.objects}.id")
        value = ragged(columns, f"{self.objects}.energy")
        (variable,) = self.variables
        energy = columns[variable]
        if isinstance(energy, Ragged):
            raise DataError(f"column '{variable}'", expected="one number", found="objects")
        for name, column in ((f"{self.objects}.energy", value), (variable, energy)):
            require_finite(name, column)
        # One key a cell and row: sorted, equal ones are summed.
        rows = np.repeat(np.arange(len(number)), number.counts())
        inside = (number.values >= 0) & (number.values < self._size)
        keys = rows[inside] * self._size + number.values[inside].astype(np.int64)
        keys, place = np.unique(keys, return_inverse=True)
        sums = np.bincount(place, value.values[inside], len(keys))
        keys, sums = keys[sums != 0], sums[sums != 0]
        offsets = np.searchsorted(keys, np.arange(len(number) + 1) * self._size)
        kind = np.uint16 if self._size <= 1 << 16 else np.uint32
        return {
            _CELL: Ragged((keys % self._size).astype(kind), offsets),
            _VALUE: Ragged(round_mantissa(sums.astype(np.float32), self.keep_bits), offsets),
            _ENERGY: energy.astype(np.float32),
        }

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Shower:
        """cells (size, cells) and energy (size,), float32."""
        energy = np.zeros(size, np.float32)
        energy[: len(rows)] = np.asarray(columns[_ENERGY])[rows]
        return Shower(self._dense(columns, rows, size), energy)

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """{"x": (R, cells), "energy": (R, 1), "ratios": (R, L), "shares": (R, cells)}.

        Moments of every cell, empty ones included, and of what `physics.ratios` makes of layers and
        of cells.
        """
        rows = len(columns[_CELL])
        cells = self._dense(columns, np.arange(rows), rows).astype(np.float64)
        energy = np.asarray(columns[_ENERGY], np.float64)
        first = np.cumsum([0, *(nx * ny for nx, ny in self.layers)])
        layers = np.stack([cells[:, a:b].sum(axis=1) for a, b in pairwise(first)], axis=1)
        around = np.repeat(layers, np.diff(first), axis=1)
        return {
            "x": cells,
            "energy": energy[:, None],
            "ratios": energy_ratios(layers, energy),
            "shares": cell_ratios(cells, around, self.threshold),
        }

    def quantities(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """The particle's energy, those of the cells that are not empty, and how many they are."""
        cells = ragged(columns, _VALUE)
        (energy,) = self.variables
        return {energy: columns[_ENERGY], "cell energy": cells, "cells hit": cells.counts()}

    def panels(self) -> tuple[Panel, ...]:
        """One a layer, seen along the beam."""
        return tuple(
            self._panel(number, (ny, nx), "energy in a cell / GeV")
            for number, (nx, ny) in enumerate(self.layers)
        )

    def draw(self, columns: Mapping[str, Column], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """(n, ny, nx) a layer."""
        return self.images(self._dense(columns, rows, len(rows)))

    def images(self, flat: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images (n, ny, nx) of each layer from cells (n, cells)."""
        first = np.cumsum([nx * ny for nx, ny in self.layers])[:-1]
        parts = zip(np.split(flat, first, axis=1), self.layers, strict=True)
        return tuple(part.reshape(-1, nx, ny).swapaxes(1, 2) for part, (nx, ny) in parts)

    def _panel(self, number: int, shape: tuple[int, int], quantity: str) -> Panel:
        half = self.half_width
        title = f"layer {number}" if len(self.layers) > 1 else ""
        return Panel(shape, (-half, half, -half, half), "x / mm", "y / mm", quantity, title)

    def normalise(self, inputs: Shower, statistics: Mapping[str, MomentsLike]) -> Shower:
        """Showers unchanged: generators must make them in GeV."""
        return inputs

    def restore(self, inputs: Shower, statistics: Mapping[str, MomentsLike]) -> Shower:
        """Showers unchanged, as in `normalise`."""
        return inputs

    def conditions(self) -> tuple[Condition, ...]:
        """The particle's energy."""
        (energy,) = self.variables
        return (Condition(energy, "GeV", sample="energy", positive=True),)

    def condition(self, inputs: Shower) -> Any:
        """The particle's energy, (B, 1)."""
        return inputs.energy[:, None]

    def decode(self, inputs: Shower, options: ShowerOptions) -> Rows:
        """Showers as entries of a tree with the branches of the embedded source, for `encode`.

        Cells at or below the threshold, and all below 0, are left out. x and y, the point where
        the particle enters, are 0, because they are not generated. Leaked and invisible energy
        have no branch: only a simulation knows them.
        """
        energy, cells = np.asarray(inputs.energy, np.float32), np.asarray(inputs.cells)
        middle = np.zeros(len(energy), np.float32)
        kept = np.where(cells > options.threshold, cells, 0)
        return occupied_rows(
            {"energy": energy, "x": middle, "y": middle},
            kept,
            Segmentation(self.layers, half_width=self.half_width).places,
            collection="cell",
            quantity="energy",
        )

    def flat(self, inputs: Shower) -> np.ndarray:
        """All cells."""
        return np.asarray(inputs.cells)

    def response(self, inputs: Shower) -> np.ndarray | None:
        """The energy in all cells."""
        return np.asarray(inputs.cells).sum(axis=1, dtype=np.float64)

    @cached_property
    def _size(self) -> int:
        return sum(nx * ny for nx, ny in self.layers)

    def _dense(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> np.ndarray:
        cells = np.zeros((size, self._size), np.float32)
        number, value = ragged(columns, _CELL), ragged(columns, _VALUE)
        scatter_into(number.values, value.values, number.offsets, rows, cells)
        return cells


@dataclass(frozen=True)
class CalorimeterImage(CalorimeterCells):
    """(B, H, W, C): all layers on the coarsest grid whose pixels no cell cuts, a channel each.

    A cell's energy is spread evenly over the pixels it covers, so that sums stay. The particle's
    energy is not part of it. See `CalorimeterCells` for the fields they share.

    scale: "channel" divides each channel by its overall standard deviation, "log" takes ln(1 + E /
    MeV) first; "none" keeps GeV.
    """

    kind: ClassVar[str] = "image"
    generated: ClassVar[bool] = False

    scale: Literal["none", "channel", "log"] = "channel"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.kind, "scale", self.scale, ("none", "channel", "log"))

    def collate(  # type: ignore[override]  # another kind of inputs is the point of it
        self, columns: Mapping[str, Column], rows: np.ndarray, size: int
    ) -> Image:
        """x: (size, H, W, C) float32."""
        cells = self._dense(columns, rows, size)
        if self.scale == "log":
            cells = np.log1p(1e3 * cells)
        return Image(self._drawn(cells))

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """{"x": (R, H W C)}: moments of every pixel, empty ones included."""
        rows = len(columns[_CELL])
        x = self.collate(columns, np.arange(rows), rows).x
        return {"x": x.reshape(rows, -1).astype(np.float64)}

    def panels(self) -> tuple[Panel, ...]:
        """One a layer, all on the common grid."""
        size = [lcm(*(layer[k] for layer in self.layers)) for k in (1, 0)]
        quantity = "ln(1 + E / MeV)" if self.scale == "log" else "energy in a pixel / GeV"
        return tuple(
            replace(
                self._panel(number, (size[0], size[1]), quantity), logarithmic=self.scale != "log"
            )
            for number in range(len(self.layers))
        )

    def draw(self, columns: Mapping[str, Column], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """(n, W, H) a layer: rows along y, as `panels` has them."""
        return tuple(np.transpose(self.collate(columns, rows, len(rows)).x, (3, 0, 2, 1)))

    def normalise(  # type: ignore[override]
        self, inputs: Image, statistics: Mapping[str, MomentsLike]
    ) -> Image:
        """Pixels over the standard deviation of their channel; empty ones stay 0."""
        if self.scale == "none":
            return inputs
        channels = len(self.layers)
        mean = np.asarray(statistics["x"].mean, np.float64).reshape(-1, channels)
        std = np.asarray(statistics["x"].std, np.float64).reshape(-1, channels)
        spread = np.sqrt((std**2 + mean**2).mean(axis=0) - mean.mean(axis=0) ** 2)
        spread = np.where(spread > 0, spread, 1.0)
        return inputs._replace(x=inputs.x / spread.astype(np.float32))

    def _drawn(self, cells: np.ndarray) -> np.ndarray:
        height, width = (lcm(*(layer[k] for layer in self.layers)) for k in (0, 1))
        x = np.empty((len(cells), height, width, len(self.layers)), np.float32)
        first = 0
        for channel, (nx, ny) in enumerate(self.layers):
            layer = cells[:, first : first + nx * ny].reshape(-1, nx, ny)
            first += nx * ny
            high, wide = height // nx, width // ny
            spread = np.float32(1 if self.scale == "log" else 1 / (high * wide))
            x[..., channel] = np.repeat(np.repeat(layer * spread, high, axis=1), wide, axis=2)
        return x
