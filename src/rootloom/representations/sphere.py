"""A sphere of photomultipliers unrolled to an image: charge and first-hit time of each PMT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numba import njit

from rootloom.errors import DataError
from rootloom.physics.scintillator.pmts import latitude_rings
from rootloom.representations.base import (
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
from rootloom.representations.turning import Turn, brighter_before, to_the_middle, turned_by
from rootloom.types import A, Column, Image, Ragged, Tensor, offsets_of

_WHO = "pmt_sphere"
_UNROLLED = ("cut", "stretched")
_TURNS = ("none", "random", "heading")
_FIELDS = ("pmt", "charge", "time")
# Mantissa bits stored: 0.2 % of a charge, 0.03 ns at 100 ns, far below what a PMT measures.
_CHARGE_BITS, _TIME_BITS = 8, 11
_NO_PMT = -1
_POOLED = "sphere.image"
_CHARGE, _TIME = "ln(1 + charge / p.e.)", "first hit / ns"  # what a pixel holds
_EVENTS_AT_A_TIME = 64  # drawn whole before they are pooled: 14 MB of a JUNO-like sphere


@dataclass(frozen=True)
class PmtSphere(Representation):
    """(B, rings, columns + 2 wrap, 2) images of log(1 + charge) and time; row 0 is the south pole.

    objects: the hits; they declare pmt, charge (photoelectrons) and time (ns). rings: latitude
    rings of PMTs, which are numbered as in `physics.scintillator.pmts.latitude_rings`. equator:
    PMTs of the longest ring.
    unrolled: "cut" shows every PMT once: the sphere is cut at longitude 0, and each ring is in the
    middle of its row, with zeros on both sides; "stretched" stretches each ring over the whole row,
    where every pixel shows the PMT nearest in longitude, so that columns are longitudes and the
    right edge continues at the left edge.
    columns: of the unrolled sphere; None: as many as the equator has PMTs. pool: rows and
    columns of a block of pixels that becomes one, the mean of those that were hit; the rest at the
    upper ends is dropped. Pooled images are stored as images, others as hits.
    wrap: number of columns of the other side repeated at both edges ("stretched" only); with as
    many as convolutions reach, the network sees no seam at longitude 0.
    turn: how images are rotated about the polar axis ("stretched" only): "random" rotates them in
    training, differently in every epoch, so that the network learns the symmetry; "heading" rotates
    each image until its earliest light is in the middle.
    mirror: with "heading", images with more light left of the middle than right of it are mirrored,
    because the physics is symmetric.
    latest: later times count as this one, ns.

    A PMT with several hits shows their total charge and the first of their times; one without hits
    is 0, and so is padding.
    """

    kind: ClassVar[str] = "image"
    same_shape: ClassVar[bool] = True
    drawn: ClassVar[bool] = True
    turns: ClassVar[bool] = True

    objects: str = "hits"
    rings: int = 117
    equator: int = 235
    unrolled: Literal["cut", "stretched"] = "cut"
    columns: int | None = None
    pool: tuple[int, int] = (1, 1)
    wrap: int = 0
    turn: Literal["none", "random", "heading"] = "none"
    mirror: bool = False
    latest: float = 300.0

    def __post_init__(self) -> None:
        require(_WHO, "rings", self.rings > 0, "a positive number", self.rings)
        require(_WHO, "equator", self.equator > 0, "a positive number", self.equator)
        require_choice(_WHO, "unrolled", self.unrolled, _UNROLLED)
        least = self.equator if self.unrolled == "cut" else 1
        require(_WHO, "columns", self._columns >= least, f"at least {least}", self.columns)
        fits = 1 <= self.pool[0] <= self.rings and 1 <= self.pool[1] <= self._columns
        require(_WHO, "pool", fits, "two numbers from 1 to the image's size", self.pool)
        require_choice(_WHO, "turn", self.turn, _TURNS)
        can = self.turn == "none" or self.unrolled == "stretched"
        require(_WHO, "turn", can, "none, unless `unrolled: stretched`", self.turn)
        can = not self.mirror or self.turn == "heading"
        require(_WHO, "mirror", can, "false, unless `turn: heading`", self.mirror)
        most = self._turns if self.unrolled == "stretched" else 0
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

        Of pooled images "sphere.image", (R, rows, columns, 2) float32.
        Raises DataError for a number that is no PMT's and a charge below 0.
        """
        pmt, charge, time = (ragged(columns, f"{self.objects}.{name}") for name in _FIELDS)
        for name, column in zip(_FIELDS, (pmt, charge, time), strict=True):
            require_finite(f"{self.objects}.{name}", column)
        numbers = pmt.values
        _refuse(pmt, (numbers < 0) | (numbers >= self._pmts), f"a PMT, 0 … {self._pmts - 1}")
        _refuse(charge, charge.values < 0, "a charge of 0 or more")
        kind = np.uint16 if self._pmts <= 1 << 16 else np.uint32
        hits: dict[str, Column] = {
            "sphere.pmt": Ragged(numbers.astype(kind), pmt.offsets),
            "sphere.charge": Ragged(round_mantissa(charge.values, _CHARGE_BITS), charge.offsets),
            "sphere.time": Ragged(round_mantissa(time.values, _TIME_BITS), time.offsets),
        }
        return hits if self.pool == (1, 1) else {_POOLED: self._pooled(hits, len(pmt))}

    def collate(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> Image:
        """x: (size, rows, columns, 2) float32; `normalise` wraps it."""
        if self.pool == (1, 1):
            return Image(self._drawn(columns, rows, size))
        stored = np.asarray(columns[_POOLED])
        x = np.zeros((size, *stored.shape[1:]), np.float32)
        x[: len(rows)] = stored[rows]
        return Image(x)

    def _drawn(self, columns: Mapping[str, Column], rows: np.ndarray, size: int) -> np.ndarray:
        """Whole images of stored hits, (size, rings, columns, 2)."""
        pixels = _pixels(self.rings, self.equator, self.unrolled == "stretched", self._columns)
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
        return x

    def _pooled(self, hits: Mapping[str, Column], events: int) -> np.ndarray:
        high, wide = self.pool
        shape = (self.rings // high, self._columns // wide)
        found = np.zeros((events, *shape, 2), np.float32)
        for first in range(0, events, _EVENTS_AT_A_TIME):
            rows = np.arange(first, min(first + _EVENTS_AT_A_TIME, events))
            x = self._drawn(hits, rows, len(rows))[:, : shape[0] * high, : shape[1] * wide]
            blocks = x.reshape(len(rows), shape[0], high, shape[1], wide, 2)
            number = (blocks[..., 0] > 0).sum(axis=(2, 4))[..., None]
            found[rows] = blocks.sum(axis=(2, 4), dtype=np.float32) / np.maximum(number, 1)
        return round_mantissa(found, _TIME_BITS)

    def sample(self, columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
        """{"x": (V, 2)}: log(1 + charge) and time of every hit, of pooled images of every pixel."""
        if self.pool != (1, 1):
            pixels = np.asarray(columns[_POOLED]).reshape(-1, 2)
            return {"x": pixels[pixels[:, 0] > 0].astype(np.float64)}
        charge = np.log1p(ragged(columns, "sphere.charge").values.astype(np.float64))
        time = np.minimum(ragged(columns, "sphere.time").values.astype(np.float64), self.latest)
        return {"x": np.stack([charge, time], axis=1)}

    def quantities(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Charge and first time of every hit and their number; of pooled images, of pixels hit."""
        if self.pool == (1, 1):
            charge, time = (ragged(columns, f"sphere.{name}") for name in ("charge", "time"))
            return {
                "charge of a hit / p.e.": charge,
                "time of a hit / ns": time,
                "hits": charge.counts(),
            }
        stored = np.asarray(columns[_POOLED])
        hit = stored[..., 0] > 0
        counts = hit.sum(axis=(1, 2))
        offsets = offsets_of(counts)
        return {
            _CHARGE: Ragged(stored[..., 0][hit], offsets),
            _TIME: Ragged(stored[..., 1][hit], offsets),
            "pixels hit": counts,
        }

    def panels(self) -> tuple[Panel, ...]:
        """Charge and time, before images are turned: longitudes, or the PMTs of each ring."""
        shape = self.rings // self.pool[0], self._columns // self.pool[1]
        stretched = self.unrolled == "stretched"
        right = 360.0 if stretched else float(shape[1] * self.pool[1])
        along = "longitude / °" if stretched else "column, cut open at longitude 0"
        extent = (0.0, right, 0.0, float(shape[0] * self.pool[0]))
        return tuple(
            Panel(shape, extent, along, "ring, from the south", quantity, title, False, False)
            for quantity, title in ((_CHARGE, "charge"), (f"{_TIME}, 0 without a hit", "time"))
        )

    def draw(self, columns: Mapping[str, Column], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """(n, rows, columns) each of charge and time."""
        return tuple(np.moveaxis(self.collate(columns, rows, len(rows)).x, -1, 0))

    def normalise(self, inputs: Image, statistics: Mapping[str, MomentsLike]) -> Image:
        """(value − mean) / std of all hits, for pixels that were hit; the others stay 0. Wraps."""
        mean = np.asarray(statistics["x"].mean, np.float32).reshape(1, 1, 1, 2)
        std = np.asarray(statistics["x"].std, np.float32).reshape(1, 1, 1, 2)
        hit = (inputs.x[..., :1] > 0).astype(inputs.x.dtype)
        scaled = (inputs.x - mean) / np.where(std > 0, std, np.float32(1.0))
        return inputs._replace(x=self._wrapped(scaled * hit))

    def turned(self, inputs: Image, draws: Tensor | None) -> tuple[Image, Turn | None]:
        """Images as `turn` and `mirror` say, and what became of longitudes.

        draws: (B,) uint32, random numbers of the examples; None where no training wants any.
        """
        mirrored = None
        if self.turn == "heading":
            steps = to_the_middle(inputs.x)
            mirrored = brighter_before(inputs.x, steps) if self.mirror else None
        elif self.turn == "random" and draws is not None:
            steps = (draws % np.uint32(self._turns)).astype(np.int32)
        else:
            return inputs, None
        # A pixel of pooled columns is in the middle of them.
        x, turn = turned_by(inputs.x, steps, mirrored, 0.5 * (1.0 - 1.0 / self.pool[1]))
        return inputs._replace(x=x), turn

    def _wrapped(self, x: A) -> A:
        if not self.wrap:
            return x
        return x[:, :, np.arange(-self.wrap, x.shape[2] + self.wrap) % x.shape[2]]

    @property
    def _turns(self) -> int:
        """Columns of the image, each of which is a place to turn it to."""
        return self._columns // self.pool[1]

    @property
    def _columns(self) -> int:
        return self.equator if self.columns is None else self.columns

    @property
    def _pmts(self) -> int:
        return int(_counts(self.rings, self.equator).sum())


@lru_cache(maxsize=8)
def _pixels(rings: int, equator: int, stretched: bool, columns: int) -> np.ndarray:
    """The PMT that each pixel shows, (rings, columns) int32; −1 for none."""
    counts = _counts(rings, equator)
    first = (np.cumsum(counts) - counts)[:, None]
    counts, column = counts[:, None], np.arange(columns)[None, :]
    if stretched:
        pixels = first + np.rint(column * counts / columns).astype(np.int64) % counts
    else:
        place = column - (columns - counts) // 2
        pixels = np.where((place >= 0) & (place < counts), first + place, _NO_PMT)
    return pixels.astype(np.int32)


def _counts(rings: int, equator: int) -> np.ndarray:
    """PMTs of each ring, (rings,)."""
    return np.bincount(latitude_rings(rings, equator).ring)


def _refuse(column: Ragged, wrong: np.ndarray, expected: str) -> None:
    if not wrong.any():
        return
    bad = int(np.flatnonzero(wrong)[0])
    row = int(column.row_of(bad))
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
