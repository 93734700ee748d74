"""Arrays for figures that a cell leaves behind: docs/reports.md describes each file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mosaic_bench.api import Algorithm, Predictor
from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.evaluate import probabilities
from mosaic_bench.engine.regions import decision_regions
from mosaic_bench.store import CellFolder

_SAMPLES = 16  # images of each client's generator
_POINTS = 75  # where they are points of a plane

PREDICTED = 200
"""Test images whose predictions are kept, of those that there are."""


@torch.no_grad()
def write_figures(folder: CellFolder, bench: Bench, algorithm: Algorithm) -> None:
    """Write what a finished cell can be drawn from: the method's own arrays, samples of generators, predictions."""
    models = _single(algorithm)
    samples = algorithm.samples(_POINTS if bench.federation.task.size == 1 else _SAMPLES)
    files = {
        **algorithm.figures(),
        **_samples(bench, samples),
        **_predictions(bench, models),
        **decision_regions(bench, models, samples),
    }
    for name, arrays in files.items():
        folder.write_figure(name, _packed(arrays))


def _single(algorithm: Algorithm) -> dict[str, Predictor]:
    """Predictors that are one model; the many of a method that has one per client are left out."""
    groups = {
        name: list(predictor.values()) if isinstance(predictor, Mapping) else [predictor]
        for name, predictor in algorithm.predictors().items()
    }
    return {name: group[0] for name, group in groups.items() if len(group) == 1}


def _samples(bench: Bench, samples: Mapping[int, Tensor]) -> dict[str, Mapping[str, Any]]:
    """Images of each client's generator, where they can be looked at."""
    task = bench.federation.task
    if not samples or task.channels not in (1, 3):
        return {}
    images = torch.stack([task.to_pixels(made).permute(0, 2, 3, 1) for made in samples.values()])
    sizes = [len(bench.clients[client]) for client in samples]
    return {"samples": {"kind": "samples", "images": images, "clients": list(samples), "sizes": sizes}}


def _predictions(bench: Bench, models: Mapping[str, Predictor]) -> dict[str, Mapping[str, Any]]:
    """Class probabilities on test images that are the same in every cell of a data set."""
    if not models:
        return {}
    images, indices = bench.judged["test"]
    n = min(PREDICTED, len(indices))
    chosen = indices[torch.arange(n, device=indices.device) * len(indices) // n]
    arrays: dict[str, Any] = {"kind": "predictions", "images": chosen, "labels": images.labels[chosen]}
    for name, model in models.items():
        arrays[f"probability/{name}"] = probabilities(model, images, chosen, bench.federation.autocast).half()
    return {"predictions": arrays}


def _packed(arrays: Mapping[str, Any]) -> bytes:
    """The bytes of an npz file; equal arrays give equal bytes."""
    content = io.BytesIO()
    plain = {name: each.detach().cpu().numpy() if isinstance(each, Tensor) else each for name, each in arrays.items()}
    np.savez_compressed(content, **plain)  # type: ignore[arg-type]
    return content.getvalue()
