"""What all models that generate showers share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rootloom.errors import ConfigError
from rootloom.models.generators.calorimeter import Layers
from rootloom.models.generators.shower_metrics import shower_summary
from rootloom.models.generators.shower_scale import ShowerScale
from rootloom.representations.base import MomentsLike, Representation
from rootloom.representations.calorimeter import CalorimeterCells


class OfShowers:
    """Scale and summary of a `GeneratorModel` of showers.

    layers: a field of the model, cells along x and y of each layer.
    """

    layers: Layers

    def scale(
        self, representation: Representation, statistics: Mapping[str, MomentsLike]
    ) -> ShowerScale:
        """Showers as numbers of the order of one, by the training's moments.

        Raises ConfigError for a representation of other cells.
        """
        if not isinstance(representation, CalorimeterCells) or representation.layers != self.layers:
            raise ConfigError(
                f"model {type(self).__name__}: layers",
                expected="those of the representation, "
                f"{getattr(representation, 'layers', type(representation).__name__)}",
                found=str(self.layers),
            )
        return ShowerScale(self.layers, float(representation.threshold), statistics)

    def summary(self, means: Mapping[str, np.ndarray]) -> dict[str, float | np.ndarray]:
        """energy_off, separation, shapes, as far as they are measured; see `shower_summary`."""
        return shower_summary(means)
