"""Jet images: momenta pixelated in (y, φ) about a common centre and orientation.

The steps are those of de Oliveira, Kagan, Mackey, Nachman, Schwartzman 1511.05190 §3, with two
choices of ours: the constituents are rotated before they are pixelated, where the paper rotates
pixels by cubic interpolation; and the horizontal axis is the rapidity y, which is the paper's η
for its massless towers and makes the translation an exact boost for massive particles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from rootloom import errors
from rootloom.physics.jets.clustering import inclusive_jets
from rootloom.physics.jets.images import centres, sums_of_pixels
from rootloom.representations.base import (
    GenerationOptions,
    MomentsLike,
    Panel,
    Quantity,
    Representation,
    momenta,
    ragged,
    require,
    require_choice,
    require_declared,
    require_finite,
    round_mantissa,
    subset,
)
from rootloom.representations.pixels import CENTRES, NORMS, draw, scatter_into
from rootloom.rootio.dataset import RowReader
from rootloom.rootio.occupied import occupied_rows
from rootloom.rootio.writing import Rows
from rootloom.types import Column, Image, Ragged, Tensor

_WHO = "jet_image"
# What a pixel of each channel holds.
_QUANTITIES = {
    "pt": "pT in a pixel / GeV",
    "charged_pt": "charged pT in a pixel / GeV",
    "neutral_pt": "neutral pT in a pixel / GeV",
    "charged_count": "charged constituents in a pixel",
}
_CHANNELS = tuple(_QUANTITIES)
# Channels whose pixels are momenta.
_MOMENTA = ("pt", "charged_pt", "neutral_pt")
# Shard columns, and the expressions that read them from files of `decode`.
_STORED = {"image": {"pixel": "pixel_id", "value": "pixel_value"}}


@dataclass(frozen=True)
class ImageOptions(GenerationOptions):
    """Options for generating images. threshold: pixels at or below it are left out."""

    threshold: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        holds = 0 <= self.threshold < np.inf
        errors.require("generation: threshold", holds, "0 or more", self.threshold)


@dataclass(frozen=True)
class JetImage(Representation):
    """(B, pixels, pixels, C) images; rows grow with φ, columns with y: plot with origin="lower".

    objects:    the constituents; they declare px, py, pz, e in GeV.
    select:     a column of the constituents: only those where it is not 0 are used; None: all.
    pixels:     number of pixels per side.
    half_width: the image covers ±half_width in y and φ around the centre.
    centre:     "leading_subjet" (kT subjets of `subjet_radius`, hardest in pT), "jet_axis" (the
                selected constituents' sum) or "none" (y = φ = 0).
    subjet_radius: of the kT subjets for `centre` and `rotate`.
    rotate:     rotate the second subjet to −π/2 (straight below the centre); with one subjet, the
                principal axis of the pT distribution, with more pT below.
    flip:       mirror left and right so that the right half holds more pT.
    channels:   "pt", and with a `charge` column "charged_pt", "neutral_pt", "charged_count".
    norm:       "none" keeps GeV, "l2" makes Σ I² = 1 over an image, "sum" makes Σ |I| = 1.
    scale:      how `normalise` scales with the training set's moments: "none"; "channel" divides
                each channel by its overall standard deviation, empty pixels stay 0; "pixel"
                subtracts each pixel's mean and divides by its standard deviation + `scale_floor`
                (Komiske, Metodiev, Schwartz 1612.01551 §3.2).
    scale_floor: added to the standard deviations with `scale: pixel`.
    keep_bits:  mantissa bits stored of an intensity. 12 bits have a precision of 1.2e-4, well below
                the few per cent of a calorimeter cell, in half the bytes; 23 are exact.

    A jet without (selected) constituents is an empty image, and so is padding; a jet with one is
    one bright pixel at the centre. Without a second subjet and without extent (all constituents
    in one direction) nothing is rotated. A constituent outside ±half_width is not drawn.
    """

    kind: ClassVar[str] = "image"
    same_shape: ClassVar[bool] = True
    drawn: ClassVar[bool] = True
    generated: ClassVar[bool] = True
    noun: ClassVar[str] = "jet image"
    generation: ClassVar[type[GenerationOptions]] = ImageOptions

    objects: str = "constituents"
    select: str | None = "trimmed"
    pixels: int = 25
    half_width: float = 1.25
    centre: Literal["leading_subjet", "jet_axis", "none"] = "leading_subjet"
    rotate: bool = True
    flip: bool = True
    channels: tuple[str, ...] = ("pt",)
    norm: Literal["none", "l2", "sum"] = "none"
    subjet_radius: float = 0.3
    scale: Literal["none", "channel", "pixel"] = "channel"
    scale_floor: float = 1e-5
    keep_bits: int = 12

    def __post_init__(self) -> None:
        require(_WHO, "pixels", 1 <= self.pixels <= 4096, "1 … 4096", self.pixels)
        require(_WHO, "half_width", self.half_width > 0, "a positive number", self.half_width)
        require(
            _WHO, "subjet_radius", self.subjet_radius > 0, "a positive number", self.subjet_radius
        )
        require(_WHO, "keep_bits", 1 <= self.keep_bits <= 23, "1 … 23", self.keep_bits)
        require(_WHO, "scale_floor", self.scale_floor >= 0, "0 or more", self.scale_floor)
        require_choice(_WHO, "centre", self.centre, CENTRES)
        require_choice(_WHO, "norm", self.norm, NORMS)
        require_choice(_WHO, "scale", self.scale, ("none", "channel", "pixel"))
        require(_WHO, "channels", len(self.channels) > 0, "at least one", self.channels)
        for channel in self.channels:
            require_choice(_WHO, "channels", channel, _CHANNELS)

    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """The constituents' momenta, their selection, and their charge when a channel uses it."""
        fields = ["px", "py", "pz", "e"]
        if self.select is not None:
            fields.append(self.select)
        if self._charged():
            fields.append("charge")
        wanted = (f"{self.objects}.{field}" for field in fields)
        return require_declared(_WHO, wanted, variables, objects)

    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Sparse images: "image.pixel" Ragged uint16/uint32 and "image.value" Ragged float32.

        Pixel (row, column, channel) has number (row × pixels + column) × C + channel; numbers
        ascend within an image.
        """
        parts = momenta(columns, self.objects, self.select)
        subjets = Ragged(np.zeros((0, 4)), np.zeros_like(parts.offsets))
        if self.centre == "leading_subjet" or self.rotate:
            subjets, _ = inclusive_jets(parts.values, parts.offsets, "kt", self.subjet_radius)
        numbers, values, offsets = draw(
            parts.values,
            self._channel_weights(columns, parts),
            parts.offsets,
            subjets.values,
            subjets.offsets,
            self.pixels,
            self.half_width,
            CENTRES.index(self.centre),
            self.rotate,
            self.flip,
            NORMS.index(self.norm),
        )
        return self._stored(numbers, values, offsets)

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Image:
        """x: (size, pixels, pixels, C) float32."""
        x = np.zeros((size, self._size()), np.float32)
        pixel, value = ragged(columns, "image.pixel"), ragged(columns, "image.value")
        scatter_into(pixel.values, value.values, pixel.offsets, rows, x)
        return Image(x.reshape(size, self.pixels, self.pixels, len(self.channels)))

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """{"x": (R, pixels² C)}: moments of every pixel, empty ones included."""
        rows = len(columns["image.pixel"])
        x = self.collate(columns, np.arange(rows), rows).x
        return {"x": x.reshape(rows, self._size()).astype(np.float64)}

    def quantities(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Intensities of the pixels that are not empty, and how many they are."""
        value = ragged(columns, "image.value")
        return {"pixel intensity": value, "pixels hit": value.counts()}

    def panels(self) -> tuple[Panel, ...]:
        """One a channel: the plane of rapidity and azimuth about the centre."""
        half, about = self.half_width, "" if self.centre == "none" else "Δ"
        several = len(self.channels) > 1
        return tuple(
            Panel(
                shape=(self.pixels, self.pixels),
                extent=(-half, half, -half, half),
                x_label=f"rapidity {about}y",
                y_label=f"azimuth {about}φ",
                quantity=_QUANTITIES[name] if self.norm == "none" else "pixel intensity",
                title=name.replace("_", " ") if several else "",
            )
            for name in self.channels
        )

    def draw(self, columns: Mapping[str, Column], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """(n, pixels, pixels) a channel, as `collate` fills them."""
        return self.images(self.flat(self.collate(columns, rows, len(rows))))

    def normalise(self, inputs: Image, statistics: Mapping[str, MomentsLike]) -> Image:
        """Intensities scaled as `scale` says; an empty image stays 0 everywhere."""
        if self.scale == "none":
            return inputs
        mean, divisor = self._scales(statistics)
        if self.scale == "channel":
            return inputs._replace(x=inputs.x / divisor)
        occupied = (inputs.x != 0).any(axis=(1, 2, 3), keepdims=True)
        scaled = (inputs.x - mean) / divisor
        return inputs._replace(x=scaled * occupied.astype(np.float32))

    def taken(self, served: Mapping[str, Tensor]) -> Image:
        """Intensities as `collate` makes them."""
        return Image(served["x"])

    def restore(self, inputs: Image, statistics: Mapping[str, MomentsLike]) -> Image:
        """Intensities before normalisation; an image that is 0 everywhere is an empty one."""
        if self.scale == "none":
            return inputs
        mean, divisor = self._scales(statistics)
        if self.scale == "channel":
            return inputs._replace(x=inputs.x * divisor)
        occupied = (inputs.x != 0).any(axis=(1, 2, 3), keepdims=True)
        return inputs._replace(x=(inputs.x * divisor + mean) * occupied.astype(np.float32))

    def decode(self, inputs: Image, options: ImageOptions) -> Rows:
        """Images as lists of non-empty pixels: "pixel_id" and "pixel_value".

        id: as `encode` numbers them. y, phi: of the pixel's centre about that of the image.
        channel: its number. Pixels at or below the threshold, and never those below 0, are left
        out: no momentum and no count is negative.
        """
        x = self.flat(inputs)
        kept = np.where(x > options.threshold, x, 0)
        at = centres(self.pixels, self.half_width).astype(np.float32)
        row, column, channel = np.indices((self.pixels, self.pixels, len(self.channels)))
        places = {
            "y": at[column.ravel()],
            "phi": at[row.ravel()],
            "channel": channel.ravel().astype(np.int8),
        }
        return occupied_rows({}, kept, places, collection="pixel", quantity="value")

    def read_back(self, reader: RowReader) -> tuple[RowReader, tuple[str, ...]]:
        """A reader for the pixels, because the dataset's expressions do not read them."""
        names = tuple(f"{group}.{name}" for group, held in _STORED.items() for name in held)
        return RowReader(reader.tree, {}, _STORED, classes=reader.classes), names

    def recode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """The pixels as `encode` stores them."""
        number, value = ragged(columns, "image.pixel"), ragged(columns, "image.value")
        return self._stored(number.values, value.values, value.offsets)

    def flat(self, inputs: Image) -> np.ndarray:
        """All pixels of all channels, as `encode` numbers them."""
        return np.asarray(inputs.x, np.float32).reshape(len(inputs.x), self._size())

    def images(self, flat: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images (n, pixels, pixels) of each channel."""
        shape = (len(flat), self.pixels, self.pixels, len(self.channels))
        return tuple(np.moveaxis(flat.reshape(shape), -1, 0))

    def observables(self) -> tuple[Quantity, ...]:
        """For each channel the sum of the pixels and the number of pixels above 0.

        For channels of momenta also pT and mass of the pixels as massless particles: in GeV, or
        without unit if images are scaled by `norm`.
        """
        unit = "GeV" if self.norm == "none" else ""
        found = []
        for name in self.channels:
            before = f"{name}_" if len(self.channels) > 1 else ""
            found += [Quantity(f"{before}sum", unit if name in _MOMENTA else "")]
            found += [Quantity(f"{before}active")]
            if name in _MOMENTA:
                found += [Quantity(f"{before}pt", unit), Quantity(f"{before}mass", unit)]
        return tuple(found)

    def observe(self, inputs: Image) -> np.ndarray:
        """Values of `observables`, (B, F) float32."""
        found = []
        for name, image in zip(self.channels, self.images(self.flat(inputs)), strict=True):
            found += [image.sum(axis=(1, 2), dtype=np.float64), (image > 0).sum(axis=(1, 2))]
            if name in _MOMENTA:
                found += sums_of_pixels(image, self.half_width)
        return np.column_stack(found).astype(np.float32)

    def _scales(self, statistics: Mapping[str, MomentsLike]) -> tuple[np.ndarray, np.ndarray]:
        """Means that `normalise` may subtract, and divisors, for each pixel or channel."""
        shape = (self.pixels, self.pixels, len(self.channels))
        mean = np.asarray(statistics["x"].mean, np.float64).reshape(shape)
        std = np.asarray(statistics["x"].std, np.float64).reshape(shape)
        if self.scale == "channel":
            overall = mean.mean((0, 1))
            divisor = np.sqrt((std**2 + mean**2).mean((0, 1)) - overall**2)
        else:
            divisor = std + self.scale_floor
        divisor = np.where(divisor > 0, divisor, 1.0).astype(np.float32)
        return mean.astype(np.float32), divisor

    def _stored(
        self, numbers: np.ndarray, values: np.ndarray, offsets: np.ndarray
    ) -> dict[str, Column]:
        numbers = numbers.astype(np.uint16 if self._size() <= 1 << 16 else np.uint32)
        return {
            "image.pixel": Ragged(numbers, offsets),
            "image.value": Ragged(round_mantissa(values, self.keep_bits), offsets),
        }

    def _size(self) -> int:
        return self.pixels**2 * len(self.channels)

    def _charged(self) -> bool:
        return any(channel != "pt" for channel in self.channels)

    def _channel_weights(self, columns: Mapping[str, Column], parts: Ragged) -> np.ndarray:
        """(V, C) float64: what each constituent adds to its pixel, pT in GeV or a count."""
        pt = np.hypot(parts.values[:, 0], parts.values[:, 1])
        table = {"pt": pt}
        if self._charged():
            charge = ragged(columns, f"{self.objects}.charge")
            require_finite(f"{self.objects}.charge", charge)
            if self.select is not None:
                charge = subset(
                    charge, ragged(columns, f"{self.objects}.{self.select}").values != 0
                )
            charged = charge.values != 0
            table["charged_pt"] = np.where(charged, pt, 0.0)
            table["neutral_pt"] = np.where(charged, 0.0, pt)
            table["charged_count"] = charged.astype(np.float64)
        return np.stack([table[channel] for channel in self.channels], axis=-1)
