"""Differences between generated and real showers in a validation, summed over batches."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rootloom.models.generators.calorimeter import Layers, layer_energies, shapes
from rootloom.physics.histograms import separation_power
from rootloom.types import Shower

# Bins in which shares of the energy are compared during training.
SHARE_BINS = 40
# Bins of shapes, whose distributions may be only 0.1 wide.
SHAPE_BINS, SHAPE_RANGE = 250, (-7.0, 6.0)


def energy_off(total: Array, energy: Array) -> dict[str, Array]:
    """ "energy_off": |generated − requested energy|; all (B,) in GeV."""
    return {"energy_off": jnp.abs(total - energy)}


def shower_metrics(real: Shower, made: Shower, layers: Layers) -> dict[str, Array]:
    """Metrics of two samples of showers, from which `shower_summary` computes its values."""
    energies = (layer_energies(one.cells, layers) for one in (real, made))
    return share_metrics(*energies) | shape_metrics(real.cells, made.cells, layers)


def share_metrics(real: Array, made: Array) -> dict[str, Array]:
    """One-hot bins of the layers' shares of the energy, (B, L, bins), for `separation`.

    real, made: layer energies (B, L), GeV.
    """
    return {"real_shares": _shares(real), "generated_shares": _shares(made)}


def shape_metrics(real: Array, made: Array, layers: Layers) -> dict[str, Array]:
    """One-hot bins of the layers' `shapes`, (B, 6 L, bins), for `separation`.

    real, made: cells (B, cells), GeV.
    """
    sides = {"real_shapes": real, "generated_shapes": made}
    return {
        name: _binned(shapes(cells, layers), SHAPE_BINS, *SHAPE_RANGE)
        for name, cells in sides.items()
    }


def shower_summary(means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
    """energy_off: GeV. separation: mean over layers of ½ Σ (h₁ - h₂)² / (h₁ + h₂) between the
    layer's share of the energy in real and generated showers, 0 … 1; shapes: the same of centre,
    width, hottest cell and active cells of each layer.
    """
    figures: dict[str, float | np.ndarray] = {}
    if "energy_off" in means:
        figures["energy_off"] = float(means["energy_off"])
    return figures | separation(means)


def separation(means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
    """Mean `separation_power` of the quantities in the metrics.

    "separation": of the layers' shares of the energy; "shapes": of the layers' shapes.
    """
    figures: dict[str, float | np.ndarray] = {}
    for name, kind in (("separation", "shares"), ("shapes", "shapes")):
        if f"real_{kind}" in means:
            sides = (np.asarray(means[f"{side}_{kind}"]) for side in ("real", "generated"))
            figures[name] = float(np.mean(separation_power(*sides)))
    return figures


def _shares(energies: Array) -> Array:
    share = energies / jnp.maximum(energies.sum(axis=1, keepdims=True), 1e-6)
    return _binned(share, SHARE_BINS, 0.0, 1.0)


def _binned(values: Array, bins: int, low: float, high: float) -> Array:
    """One-hot (B, D, bins) of values (B, D); those outside count in the outermost bins."""
    place = ((values - low) / (high - low) * bins).astype(jnp.int32)
    return jax.nn.one_hot(jnp.clip(place, 0, bins - 1), bins, dtype=jnp.float32)
