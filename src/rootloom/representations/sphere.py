"""A sphere of photomultipliers unrolled to an image: charge and first-hit time of each PMT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numba import njit

from rootloom.errors import DataError
from rootloom.physics.pmts import latitude_rings
from rootloom.representations.base import (
    MomentsLike,
    ragged,
    require,
    require_choice,
    require_declared,
    require_finite,
    round_mantissa,
)
from rootloom.types import Column, Image, Ragged

_WHO = "pmt_sphere"
_UNROLLED = ("cut", "stretched")
_FIELDS = ("pmt", "charge", "time")
# Mantissa bits stored: 0.2 % of a charge, 0.03 ns at 100 ns, far below what a PMT measures.
_CHARGE_BITS, _TIME_BITS = 8, 11
_NO_PMT = -1


@dataclass(frozen=True)
class PmtSphere:
    """(B, rings, equator + 2 wrap, 2) images of log(1 + charge) and time; row 0 is the south pole.

    objects: the hits; they declare pmt, charge (photoelectrons) and time (ns). rings, equator: of
    the detector, whose PMTs are numbered as `rootloom.physics.pmts.latitude_rings` does.
    unrolled: "cut" shows every PMT once, a ring's in the middle of its row, zeros beside them, the
    sphere cut open at longitude 0; "stretched" shows each ring over the whole row, every pixel the
    PMT nearest in longitude, so that columns are longitudes and the image goes on at the other
    side.
    wrap: columns of the other side repeated on both sides ("stretched" only): with as many as
    convolutions reach, the seam at longitude 0 is like any other place.
    latest: later times count as this one, ns.

    A PMT with several hits shows their charge and the first of their times; one without is 0, and
    so is padding.
    """

    kind: ClassVar[str] = "image"
    same_shape: ClassVar[bool] = True

    objects: str = "hits"
    rings: int = 117
    equator: int = 235
    unrolled: Literal["cut", "stretched"] = "cut"
    wrap: int = 0
    latest: float = 300.0

    def __post_init__(self) -> None:
        require(_WHO, "rings", self.rings > 0, "a positive number", self.rings)
        require(_WHO, "equator", self.equator > 0, "a positive number", self.equator)
        require_choice(_WHO, "unrolled", self.unrolled, _UNROLLED)
        most = self.equator if self.unrolled == "stretched" else 0
        require(_WHO, "wrap", 0 <= self.wrap <= most, f"0 … {most}", self.wrap)
        require(_WHO, "latest", self.latest > 0, "a positive time", self.latest)

    def needs(
        self, variables: Sequence[str], objects: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """The hits' PMT, charge and time."""
        wanted = (f"{self.objects}.{field}" for field in _FIELDS)
        return require_declared(_WHO, wanted, variables, objects)

    def encode(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """The hits, Ragged "sphere.pmt", "sphere.charge" and "sphere.time": the same for any image.

        Raises DataError for a number that is no PMT's and a charge below 0.
        """
        pmt, charge, time = (ragged(columns, f"{self.objects}.{name}") for name in _FIELDS)
        for name, column in zip(_FIELDS, (pmt, charge, time), strict=True):
            require_finite(f"{self.objects}.{name}", column)
        numbers = pmt.values
        _refuse(pmt, (numbers < 0) | (numbers >= self._pmts), f"a PMT, 0 … {self._pmts - 1}")
        _refuse(charge, charge.values < 0, "a charge of 0 or more")
        kind = np.uint16 if self._pmts <= 1 << 16 else np.uint32
        return {
            "sphere.pmt": Ragged(numbers.astype(kind), pmt.offsets),
            "sphere.charge": Ragged(round_mantissa(charge.values, _CHARGE_BITS), charge.offsets),
            "sphere.time": Ragged(round_mantissa(time.values, _TIME_BITS), time.offsets),
        }

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Image:
        """x: (size, rings, equator + 2 wrap, 2) float32."""
        pixels = _pixels(self.rings, self.equator, self.unrolled == "stretched", self.wrap)
        x = np.zeros((size, *pixels.shape, 2), np.float32)
        pmt, charge, time = (ragged(columns, f"sphere.{name}") for name in _FIELDS)
        seen = np.zeros((self._pmts, 2), np.float32)
        latest = np.float32(self.latest)
        flat = x.reshape(size, pixels.size, 2)
        _draw(
            pmt.values,
            charge.values,
            time.values,
            pmt.offsets,
            rows,
            latest,
            pixels.ravel(),
            seen,
            flat,
        )
        return Image(x)

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """{"x": (V, 2)}: log(1 + charge) and time of every hit."""
        charge = np.log1p(ragged(columns, "sphere.charge").values.astype(np.float64))
        time = np.minimum(ragged(columns, "sphere.time").values.astype(np.float64), self.latest)
        return {"x": np.stack([charge, time], axis=1)}

    def normalise(self, inputs: Image, statistics: Mapping[str, MomentsLike]) -> Image:
        """(value − mean) / std of all hits, for PMTs that were hit; the others stay 0."""
        mean = np.asarray(statistics["x"].mean, np.float32)
        std = np.asarray(statistics["x"].std, np.float32)
        hit = (inputs.x[..., :1] > 0).astype(inputs.x.dtype)
        scaled = (inputs.x - mean) / np.where(std > 0, std, np.float32(1.0))
        return inputs._replace(x=scaled * hit)

    @property
    def _pmts(self) -> int:
        return int(_counts(self.rings, self.equator).sum())


@lru_cache(maxsize=8)
def _pixels(rings: int, equator: int, stretched: bool, wrap: int) -> np.ndarray:
    """The PMT that each pixel shows, (rings, equator + 2 wrap) int32; −1 for none."""
    counts = _counts(rings, equator)
    first = (np.cumsum(counts) - counts)[:, None]
    counts, column = counts[:, None], np.arange(equator)[None, :]
    if stretched:
        place = np.rint(column * counts / equator).astype(np.int64) % counts
        pixels = np.take(first + place, range(-wrap, equator + wrap), axis=1, mode="wrap")
    else:
        place = column - (equator - counts) // 2
        pixels = np.where((place >= 0) & (place < counts), first + place, _NO_PMT)
    return pixels.astype(np.int32)


def _counts(rings: int, equator: int) -> np.ndarray:
    """PMTs of each ring, (rings,)."""
    return np.bincount(latitude_rings(rings, equator).ring)


def _refuse(column: Ragged, wrong: np.ndarray, expected: str) -> None:
    if not wrong.any():
        return
    bad = int(np.flatnonzero(wrong)[0])
    row = int(np.searchsorted(column.offsets, bad, "right")) - 1
    raise DataError(
        f"hits, row {row} of the block",
        expected=expected,
        found=f"{column.values[bad]}, and {int(wrong.sum())} such hits in the block",
        fix="compare the representation's `rings` and `equator` with the detector's",
    )


@njit(cache=True, nogil=True)
def _draw(
    pmt: np.ndarray,
    charge: np.ndarray,
    time: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    latest: float,
    pixels: np.ndarray,
    seen: np.ndarray,
    out: np.ndarray,
) -> None:
    """Draw the events `rows` (n,) into `out` (B, pixels, 2), which is zero. seen: scratch."""
    for i in range(len(rows)):
        seen[:] = 0.0
        for k in range(offsets[rows[i]], offsets[rows[i] + 1]):
            p = pmt[k]
            before = np.inf if seen[p, 0] == 0.0 else seen[p, 1]
            seen[p, 0] += charge[k]
            seen[p, 1] = min(before, time[k], latest)
        for p in range(len(seen)):
            seen[p, 0] = np.log1p(seen[p, 0])
        for q in range(len(pixels)):
            if pixels[q] >= 0:
                out[i, q, 0], out[i, q, 1] = seen[pixels[q], 0], seen[pixels[q], 1]
