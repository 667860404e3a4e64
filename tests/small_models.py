"""Sizes of the networks in tests, where the defaults are large."""

from __future__ import annotations

from typing import Any

from rootloom.config import registry

SMALL: dict[str, dict[str, Any]] = {
    "dnn": {"hidden": (16, 8), "dropout": 0.2},
    "cnn": {"filters": (6, 5), "kernels": (5, 3), "pools": (2, 3), "hidden": 7},
    "maxout": {"maxout": (8, 6), "pieces": 3, "hidden": (7, 5)},
    "recnn": {"hidden": 6, "head": (5,)},
    "deep_sets": {"objects": (6, 8), "row": (7,), "dropout": 0.2},
    "energy_flow": {"objects": (6, 8), "row": (7,), "dropout": 0.2},
    "deepcsv": {"hidden": (8, 6)},
    "deepjet": {
        "charged": "parts",
        "neutral": "parts",
        "vertices": "parts",
        "slots": (5, 4, 3),
        "charged_layers": (4,),
        "neutral_layers": (4,),
        "vertices_layers": (3,),
        "units": (5, 4, 3),
        "dense": (6,),
    },
    "gn2": {"width": 8, "layers": 1, "heads": 2, "out": 6, "register_scale": 0.5, "dense": (5,)},
    "lorentz_net": {"hidden": 6, "blocks": 2},
    "particle_net": {"neighbours": 3, "blocks": ((6,), (6,)), "dense": 6, "fusion": True},
    "particle_transformer": {
        "embedding": (8,),
        "pairs": (),
        "heads": 2,
        "blocks": 1,
        "class_blocks": 1,
    },
    "recurrent": {"units": 6, "dense": (5,), "dropout": 0.2},
    "table_resnet": {"width": 8, "blocks": 2, "frequencies": 3, "embedding": 2},
}
SMALL["lorentz"] = {
    "objects": (("x0", "x1", "x2"), ("x3", "x1"), ("x2", "x0", "x1", "x3")),
    "scale": 1.0,
    "hidden": (8,),
    "dropout": 0.2,
}


def backbones() -> list[str]:
    """Models that classify; generators have tests of their own."""
    every = {name: registry.resolve("models", name) for name in registry.names("models")}
    return [name for name, model in every.items() if model.role == "embedding"]
