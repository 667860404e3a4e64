"""Compiled kernels of jet images: orient the constituents of one jet, fill its pixels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rootloom.physics.jets.scalars import azimuth, delta_phi_of, longest, rapidity

# Positions in these tuples are the integers that the kernels take.
CENTRES = ("leading_subjet", "jet_axis", "none")
NORMS = ("none", "l2", "sum")

# A subjet of one constituent is rotated onto an axis of the image up to rounding. Within this many
# radians (and pixels) of a boundary a constituent counts as on it, not as left or right of it.
_ROUNDING = 1e-9


@njit(cache=True, nogil=True)
def _axis(p: np.ndarray) -> tuple:
    return rapidity(p[0], p[1], p[2], p[3]), azimuth(p[0], p[1])


@njit(cache=True, nogil=True)
def _principal_angle(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Direction of the largest weighted spread, pointing to the heavier side; NaN without one."""
    total = sum_x = sum_y = 0.0
    for i in range(len(x)):
        total += weight[i]
        sum_x += weight[i] * x[i]
        sum_y += weight[i] * y[i]
    if total == 0.0:
        return math.nan
    mean_x, mean_y = sum_x / total, sum_y / total
    xx = yy = xy = 0.0
    for i in range(len(x)):
        dx, dy = x[i] - mean_x, y[i] - mean_y
        xx += weight[i] * dx * dx
        yy += weight[i] * dy * dy
        xy += weight[i] * dx * dy
    if math.hypot(xx - yy, 2.0 * xy) <= 1e-12 * total:
        return math.nan  # no extent, or the same in every direction
    angle = 0.5 * math.atan2(2.0 * xy, xx - yy)
    if mean_x * math.cos(angle) + mean_y * math.sin(angle) < 0.0:
        angle += math.pi
    return angle


@njit(cache=True, nogil=True)
def _orient(
    jet: np.ndarray,
    weight: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    centre: int,
    rotate: bool,
    subjets: np.ndarray,
) -> None:
    """Fill x (Δy) and y (Δφ) of the constituents after centring and rotation."""
    n = len(jet)
    y0 = phi0 = 0.0
    if centre == 0:
        y0, phi0 = _axis(subjets[0])
    elif centre == 1:
        total = np.zeros(4)
        for i in range(n):
            for k in range(4):
                total[k] += jet[i, k]
        y0, phi0 = _axis(total)
    for i in range(n):
        rap, phi = _axis(jet[i])
        x[i], y[i] = rap - y0, delta_phi_of(phi, phi0)
    if not rotate:
        return
    if len(subjets) >= 2:
        rap, phi = _axis(subjets[1])
        angle = math.atan2(delta_phi_of(phi, phi0), rap - y0)
    else:
        angle = _principal_angle(x, y, weight)
        if math.isnan(angle):
            return
    cos, sin = math.cos(-0.5 * math.pi - angle), math.sin(-0.5 * math.pi - angle)
    for i in range(n):
        x[i], y[i] = cos * x[i] - sin * y[i], sin * x[i] + cos * y[i]


@njit(cache=True, nogil=True)
def _bin(position: float, pixels: int, half_width: float) -> int:
    """Pixel along one side, −1 outside; a pixel owns its left (lower) edge."""
    bin_ = math.floor((position + half_width) * (pixels / (2.0 * half_width)) + _ROUNDING)
    return int(bin_) if 0 <= bin_ < pixels else -1


@njit(cache=True, nogil=True)
def _fill(
    x: np.ndarray,
    y: np.ndarray,
    add: np.ndarray,
    pixels: int,
    half_width: float,
    image: np.ndarray,
    touched: np.ndarray,
) -> int:
    """Add (n, C) to the pixels of `image` (P², C); returns how many were touched."""
    count = 0
    for i in range(len(x)):
        column, row = _bin(x[i], pixels, half_width), _bin(y[i], pixels, half_width)
        if column < 0 or row < 0:
            continue
        pixel = row * pixels + column
        empty = True
        for c in range(add.shape[1]):
            empty = empty and image[pixel, c] == 0.0
        if empty:
            touched[count] = pixel
            count += 1
        for c in range(add.shape[1]):
            image[pixel, c] += add[i, c]
    return count


@njit(cache=True, nogil=True)
def _heavier_left(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, pixels: int, half_width: float
) -> bool:
    """Whether the columns left of the centre hold more pT than those right of it.

    The middle column of an odd grid, where the leading subjet is, counts for neither side.
    """
    difference = 0.0
    for i in range(len(x)):
        column = _bin(x[i], pixels, half_width)
        if column < 0 or _bin(y[i], pixels, half_width) < 0 or abs(x[i]) < _ROUNDING:
            continue
        if 2 * column + 1 > pixels:
            difference += weight[i]
        elif 2 * column + 1 < pixels:
            difference -= weight[i]
    return difference < 0.0


@njit(cache=True, nogil=True)
def _scale(values: np.ndarray, norm: int) -> None:
    """Divide by the root of the sum of squares (1) or by the sum of magnitudes (2), in place."""
    total = 0.0
    for value in values:
        total += value * value if norm == 1 else abs(value)
    if norm == 1:
        total = math.sqrt(total)
    for k in range(len(values)):
        values[k] /= total


@njit(cache=True, nogil=True)
def _sort(numbers: np.ndarray) -> None:
    """Ascending, in place, by insertion: there are tens of them."""
    for i in range(1, len(numbers)):
        held, j = numbers[i], i
        while j > 0 and numbers[j - 1] > held:
            numbers[j] = numbers[j - 1]
            j -= 1
        numbers[j] = held


@njit(cache=True, nogil=True)
def _collect(image: np.ndarray, pixels: np.ndarray, numbers: np.ndarray, values: np.ndarray) -> int:
    """Move the non-zero entries of the touched pixels out, leaving `image` zero again."""
    count = 0
    channels = image.shape[1]
    _sort(pixels)
    for pixel in pixels:
        for c in range(channels):
            if image[pixel, c] != 0.0:
                numbers[count] = pixel * channels + c
                values[count] = image[pixel, c]
                image[pixel, c] = 0.0
                count += 1
    return count


@njit(cache=True, nogil=True)
def draw(
    p4: np.ndarray,
    add: np.ndarray,
    offsets: np.ndarray,
    subjets: np.ndarray,
    subjet_offsets: np.ndarray,
    pixels: int,
    half_width: float,
    centre: int,
    rotate: bool,
    flip: bool,
    norm: int,
) -> tuple:
    """Sparse images of many jets, from momenta (V, 4) and what each adds to its pixel (V, C).

    Subjets (J, 4), hardest first in each jet, are used to centre and to rotate.

    Returns pixel-and-channel numbers (N,) uint32 ascending within an image, values (N,) float32
    and offsets (R + 1,) int64.
    """
    size, rows, channels = longest(offsets), len(offsets) - 1, add.shape[1]
    xs, ys, pts = np.empty(size), np.empty(size), np.empty(size)
    image, touched = np.zeros((pixels * pixels, channels)), np.empty(size, np.int64)
    numbers = np.empty(len(p4) * channels, np.uint32)
    values = np.empty(len(p4) * channels)
    found = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        start, stop, first = offsets[row], offsets[row + 1], found[row]
        found[row + 1] = first
        n = stop - start
        if n == 0:
            continue
        jet, x, y, pt = p4[start:stop], xs[:n], ys[:n], pts[:n]
        for i in range(n):
            pt[i] = math.hypot(jet[i, 0], jet[i, 1])
        _orient(
            jet, pt, x, y, centre, rotate, subjets[subjet_offsets[row] : subjet_offsets[row + 1]]
        )
        if flip and _heavier_left(x, y, pt, pixels, half_width):
            for i in range(n):
                x[i] = -x[i]
        count = _fill(x, y, add[start:stop], pixels, half_width, image, touched)
        last = first + _collect(image, touched[:count], numbers[first:], values[first:])
        if norm > 0 and last > first:
            _scale(values[first:last], norm)
        found[row + 1] = last
    return numbers[: found[rows]].copy(), values[: found[rows]].astype(np.float32), found


@njit(cache=True, nogil=True)
def scatter_into(
    numbers: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write sparse images `rows` (n,) into `out` (B, P² C), which is zero; n ≤ B."""
    for i in range(len(rows)):
        for k in range(offsets[rows[i]], offsets[rows[i] + 1]):
            out[i, numbers[k]] = values[k]
