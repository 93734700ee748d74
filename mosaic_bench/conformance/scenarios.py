"""The cells in which algorithms are tested."""

from __future__ import annotations

from typing import Any

from mosaic_bench.engine.algorithms import find_algorithm
from mosaic_bench.suite import Cell

_WIDTHS = [1.0, 0.5, 0.25]

MODELS: dict[str, dict[str, Any]] = {
    "alike": {"arch": "cnn", "width": 0.25},
    "static": {"arch": "mlp", "widths": _WIDTHS, "extract": "static"},
    "rolling": {"arch": "cnn", "widths": _WIDTHS, "extract": "rolling"},
    "families": {"arch": ["cnn", "mlp"], "width": 0.25},
}
"""What the clients train, by name."""

_FEDERATION = {"clients": 3, "participation": 0.7, "validation": 0.1, "public": {"from": "train", "fraction": 0.1}}


def short_cell(algorithm: str, clients: str) -> Cell:
    """Two rounds over clients that miss classes."""
    return _cell(
        algorithm,
        clients,
        partition={"dirichlet": {"alpha": 0.3}},
        federation={**_FEDERATION, "rounds": 2},
        local={"steps": 2, "batch": 16, "lr": 0.05, "momentum": 0.9, "augment": "standard"},
    )


def learnable_cell(algorithm: str, clients: str) -> Cell:
    """Three rounds, enough to learn images that are dealt evenly."""
    return _cell(
        algorithm,
        clients,
        partition="iid",
        federation={**_FEDERATION, "rounds": 3},
        local={"steps": 10, "batch": 32, "lr": 0.05, "momentum": 0.9},
    )


def _cell(algorithm: str, clients: str, **sections: Any) -> Cell:
    params = dict(find_algorithm(algorithm).conformance_params)
    return Cell.model_validate(
        {
            "algorithm": {"name": algorithm, "params": params},
            "dataset": "separable",
            "models": MODELS[clients],
            "seed": 1,
            **sections,
        }
    )
