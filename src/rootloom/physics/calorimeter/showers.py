"""Electromagnetic showers in a calorimeter, as Grindhammer and Peters parametrise them.

G. Grindhammer, S. Peters, hep-ex/0001020, appendix A; symbols as there: t is the depth in
radiation lengths from where the shower starts, y = E / E_c, T the depth of the maximum,
f(t) = β (βt)^(α-1) exp(-βt) / Γ(α), τ the depth in units of its mean, r in Molière radii.
S showers, K steps in depth, N events.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.special import gammainc

from rootloom.physics.calorimeter.detector import Detector

# The parametrisation was made for 1 GeV and more. Showers of less energy than this, which occur for
# photons that share their energy unevenly, get the shape of this energy.
_MIN_ENERGY_GEV = 0.1
_WIDEST, _LEAST_T, _LEAST_ALPHA, _LEAST_RADIUS = 0.5, 1.0, 1.1, 1e-3
# Mean free path of a photon before it converts, in radiation lengths.
PHOTON_PATH = 9 / 7


class Longitudinal(NamedTuple):
    """Γ-profiles of S showers, (S,) each.

    alpha, beta: of the energy, beta per radiation length; spot_alpha, spot_beta: of the number of
    spots; tau: τ of one radiation length.
    """

    alpha: np.ndarray
    beta: np.ndarray
    spot_alpha: np.ndarray
    spot_beta: np.ndarray
    tau: np.ndarray


class Radial(NamedTuple):
    """Two-component profiles p 2rR_C²/(r²+R_C²)² + (1-p) 2rR_T²/(r²+R_T²)²; radii in R_M."""

    core: np.ndarray
    tail: np.ndarray
    weight: np.ndarray


class Medium(NamedTuple):
    """Coefficients of the longitudinal part, A.1 and A.2: of ln y or of Z where two are given.

    t_shift, alpha_shift: of T and α; t_width, alpha_width: 1 / σ of their logarithms; rho: their
    correlation; spot_t, spot_alpha: ratios of spots to energy; spots: their number is
    spots[0] E^spots[1].
    """

    t_shift: float
    alpha_shift: float
    t_width: tuple[float, float]
    alpha_width: tuple[float, float]
    rho: float
    spot_t: float
    spot_alpha: float
    spots: tuple[float, float]


def medium(detector: Detector) -> Medium:
    """Coefficients of a homogeneous medium for all deposited energy, of a sampling one for gaps.

    The energy sampled by gaps is shifted to the front, because their share of the energy falls
    with depth (section 3.3); the deposited energy is not.
    """
    stack = detector.stack
    if not detector.gap_only:
        return Medium(
            t_shift=0.0,
            alpha_shift=0.0,
            t_width=(-1.4, 1.26),
            alpha_width=(-0.58, 0.86),
            rho=0.705,
            spot_t=0.698 + 0.00212 * stack.z,
            spot_alpha=0.639 + 0.00334 * stack.z,
            spots=(93 * np.log(stack.z), 0.876),
        )
    per_sampling = 1 / stack.sampling_frequency
    return Medium(
        t_shift=-0.55 * per_sampling - 0.69 * (1 - stack.e_over_mip),
        alpha_shift=-0.476 * per_sampling,
        t_width=(-2.5, 1.25),
        alpha_width=(-0.82, 0.79),
        rho=0.784,
        spot_t=0.813 + 0.0019 * stack.z,
        spot_alpha=0.844 + 0.0026 * stack.z,
        spots=(10.3 / detector.sampling, 0.959),
    )


def longitudinal(detector: Detector, energy: np.ndarray, normal: np.ndarray) -> Longitudinal:
    """Profiles of showers of `energy` (S,) GeV.

    normal: (S, 2) independent standard normal numbers, from which ln T and ln α are made with the
    correlation of the parametrisation; zeros give the most probable shower.
    """
    shape, z = medium(detector), detector.stack.z
    ln_y = np.log(np.maximum(energy, _MIN_ENERGY_GEV) / detector.stack.critical_energy)
    ln_t = np.log(ln_y - 0.812 + shape.t_shift)
    mean_alpha = 0.81 + (0.458 + 2.26 / z) * ln_y + shape.alpha_shift
    rho = shape.rho - 0.023 * ln_y
    first = np.sqrt((1 + rho) / 2) * normal[:, 0]
    second = np.sqrt((1 - rho) / 2) * normal[:, 1]
    t = np.maximum(np.exp(ln_t + _width(shape.t_width, ln_y) * (first + second)), _LEAST_T)
    spread = _width(shape.alpha_width, ln_y) * (first - second)
    alpha = np.maximum(mean_alpha * np.exp(spread), _LEAST_ALPHA)
    spot_alpha = np.maximum(alpha * shape.spot_alpha, _LEAST_ALPHA)
    return Longitudinal(
        alpha,
        (alpha - 1) / t,
        spot_alpha,
        (spot_alpha - 1) / (t * shape.spot_t),
        (alpha - 1) / (alpha * t) * mean_alpha / (mean_alpha - 1),
    )


def _width(coefficients: tuple[float, float], ln_y: np.ndarray) -> np.ndarray:
    return np.minimum(1 / (coefficients[0] + coefficients[1] * ln_y), _WIDEST)


def shares(alpha: np.ndarray, beta: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Shares of a Γ-profile between depths: alpha, beta (S,), depth (S, K + 1) → (S, K).

    Nothing lies before depth 0; energy beyond the last depth is missing from the sum.
    """
    below = gammainc(alpha[:, None], beta[:, None] * np.maximum(depth, 0.0))
    return np.diff(below, axis=1)


def radial(detector: Detector, energy: np.ndarray, tau: np.ndarray) -> Radial:
    """Radial profiles (S, K) of showers of `energy` (S,) GeV at depths `tau` (S, K)."""
    ln_e, z = np.log(np.maximum(energy, _MIN_ENERGY_GEV))[:, None], detector.stack.z
    core = 0.0251 + 0.00319 * ln_e + (0.1162 - 0.000381 * z) * tau
    tail = (0.659 - 0.00309 * z) * (
        np.exp(-2.59 * (tau - 0.645)) + np.exp((0.3585 + 0.0421 * ln_e) * (tau - 0.645))
    )
    steep = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * ln_e)
    weight = (2.632 - 0.00094 * z) * np.exp(steep - np.exp(steep))
    if detector.gap_only:
        excess, per_sampling = 1 - detector.stack.e_over_mip, 1 / detector.stack.sampling_frequency
        core += -0.0203 * excess + 0.0397 * per_sampling * np.exp(-tau)
        tail += -0.14 * excess - 0.495 * per_sampling * np.exp(-tau)
        weight += excess * (0.348 - 0.642 * per_sampling * np.exp(-((tau - 1) ** 2)))
    return Radial(
        np.maximum(core, _LEAST_RADIUS),
        np.maximum(tail, _LEAST_RADIUS),
        np.clip(weight, 0.0, 1.0),
    )


def add_electrons(
    rng: np.random.Generator,
    detector: Detector,
    energy: np.ndarray,
    start: np.ndarray,
    owner: np.ndarray,
    position: np.ndarray,
    cells: np.ndarray,
    whole: np.ndarray | None = None,
) -> np.ndarray:
    """Showers of electrons or positrons that start inside the detector.

    energy: (S,) GeV; start: (S,) z in mm; owner: (S,) event of each; position: (N, 2) x and y of
    the events' axes, mm. whole: (S,) GeV of the particle whose shower each is a part of, if it is:
    the parts together then have as many spots as one shower of that energy. Adds what is seen to
    `cells` (N, cells) GeV; returns the energy (S,) that leaves at the back or beside the cells.
    """
    stack = detector.stack
    depth = (detector.edges - start[:, None]) / stack.radiation_length
    shape = longitudinal(detector, energy, rng.standard_normal((len(energy), 2)))
    deposited = energy[:, None] * shares(shape.alpha, shape.beta, depth)
    factor, power = medium(detector).spots
    # No spots without energy, although power - 1 is negative.
    whole = np.maximum(energy if whole is None else whole, 1e-9)
    number = factor * energy * whole ** (power - 1)
    expected = number[:, None] * shares(shape.spot_alpha, shape.spot_beta, depth)
    # A step with energy has at least one spot.
    spots = np.where(deposited > 0, np.maximum(rng.poisson(expected), 1), 0)
    middle = np.maximum((depth[:, 1:] + depth[:, :-1]) / 2, 0.0)
    profile = radial(detector, energy, middle * shape.tau[:, None])
    core = rng.binomial(spots, profile.weight)
    outside = _scatter(
        rng.integers(0, 1 << 64, len(energy), np.uint64),
        detector.visible(rng, deposited) / np.maximum(spots, 1),
        np.stack([core, spots - core], axis=-1),
        np.stack([profile.core, profile.tail], axis=-1) * stack.moliere_radius,
        owner,
        position,
        detector.step_layer,
        *_grid(detector),
        cells,
    )
    beside = deposited * outside / np.maximum(spots, 1)
    return energy - deposited.sum(axis=1) + beside.sum(axis=1)


def add_photons(
    rng: np.random.Generator,
    detector: Detector,
    energy: np.ndarray,
    start: np.ndarray,
    owner: np.ndarray,
    position: np.ndarray,
    cells: np.ndarray,
) -> np.ndarray:
    """`add_electrons` for photons that set out at `start`: each converts and becomes a pair.

    The depth of the conversion is exponential with 9/7 radiation lengths; the pair shares the
    energy evenly distributed, which the Bethe-Heitler spectrum nearly is.
    """
    path = PHOTON_PATH * detector.stack.radiation_length
    converted = start + path * rng.standard_exponential(len(energy))
    first = energy * rng.random(len(energy))
    leaked = add_electrons(
        rng,
        detector,
        np.concatenate([first, energy - first]),
        np.tile(converted, 2),
        np.tile(owner, 2),
        position,
        cells,
        whole=np.tile(energy, 2),
    )
    return leaked.reshape(2, -1).sum(axis=0)


def _grid(detector: Detector) -> tuple[np.ndarray, np.ndarray, float]:
    segmentation = detector.segmentation
    return np.array(segmentation.shapes), segmentation.first, segmentation.half_width


@njit(cache=True, nogil=True)
def _scatter(
    seeds: np.ndarray,
    energy: np.ndarray,
    spots: np.ndarray,
    radius: np.ndarray,
    owner: np.ndarray,
    position: np.ndarray,
    step_layer: np.ndarray,
    shapes: np.ndarray,
    first: np.ndarray,
    half_width: float,
    cells: np.ndarray,
) -> np.ndarray:
    """Put spots at random radii into cells; returns the number (S, K) that hit none.

    energy: (S, K) of a spot; spots, radius: (S, K, 2) of core and tail; cells: (N, cells).
    """
    showers, steps = energy.shape
    outside = np.zeros((showers, steps))
    for s in range(showers):
        state = seeds[s]
        x0, y0 = position[owner[s], 0] + half_width, position[owner[s], 1] + half_width
        for k in range(steps):
            layer = step_layer[k]
            nx, ny = shapes[layer, 0], shapes[layer, 1]
            # From here on lengths count in cells.
            per_x, per_y = 0.5 * nx / half_width, 0.5 * ny / half_width
            row = cells[owner[s], first[layer] : first[layer + 1]]
            for part in range(2):
                wide, high = radius[s, k, part] * per_x, radius[s, k, part] * per_y
                for _ in range(spots[s, k, part]):
                    state, a, b, rest = _in_disc(state)
                    # r = R sqrt(u / (1 - u)) has the profile 2rR²/(r²+R²)²; here u = a² + b².
                    far = 1.0 / np.sqrt(rest)
                    x, y = x0 * per_x + wide * far * a, y0 * per_y + high * far * b
                    if 0.0 <= x < nx and 0.0 <= y < ny:
                        row[int(x) * ny + int(y)] += energy[s, k]
                    else:
                        outside[s, k] += 1
    return outside


@njit(cache=True, nogil=True, inline="always")
def _in_disc(state: np.uint64) -> tuple:
    """A point even on the unit disc: (next state, a, b, 1 - a² - b²).

    SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), whose halves are the two coordinates.
    """
    while True:
        state += np.uint64(0x9E3779B97F4A7C15)
        z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        a = np.float64(np.int64(z >> np.uint64(32))) * 2.0**-31 - 1.0
        b = np.float64(np.int64(z & np.uint64(0xFFFFFFFF))) * 2.0**-31 - 1.0
        rest = 1.0 - a * a - b * b
        if rest > 0.0:
            return state, a, b, rest
