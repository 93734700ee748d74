"""Arrays for figures that a cell leaves behind: docs/reports.md describes each file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mosaic_bench.api import Algorithm
from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.evaluate import probabilities
from mosaic_bench.store import CellFolder

_SAMPLES = 16  # images of each client's generator
_IMAGES = 200  # test images whose predictions are kept


def write_figures(folder: CellFolder, bench: Bench, algorithm: Algorithm) -> None:
    """Write what a finished cell can be drawn from: the method's own arrays, samples of generators, predictions."""
    for name, arrays in {**algorithm.figures(), **_samples(bench, algorithm), **_predictions(bench, algorithm)}.items():
        folder.write_figure(name, _packed(arrays))


def _samples(bench: Bench, algorithm: Algorithm) -> dict[str, Mapping[str, Any]]:
    """Images of each client's generator, where the method has such and images can be looked at."""
    made = algorithm.samples(_SAMPLES)
    if not made or bench.federation.task.channels not in (1, 3):
        return {}
    pixels = [bench.federation.task.to_pixels(images).permute(0, 2, 3, 1) for images in made.values()]
    sizes = [len(bench.clients[client]) for client in made]
    return {"samples": {"kind": "samples", "images": torch.stack(pixels), "clients": list(made), "sizes": sizes}}


def _predictions(bench: Bench, algorithm: Algorithm) -> dict[str, Mapping[str, Any]]:
    """Class probabilities of single models on test images that are the same in every cell of a data set."""
    images, indices = bench.judged["test"]
    n = min(_IMAGES, len(indices))
    chosen = indices[torch.arange(n, device=indices.device) * len(indices) // n]
    arrays: dict[str, Any] = {"kind": "predictions", "images": chosen, "labels": images.labels[chosen]}
    for name, predictor in algorithm.predictors().items():
        group = list(predictor.values()) if isinstance(predictor, Mapping) else [predictor]
        if len(group) == 1:  # the many models of a method that has one per client are left out
            found = probabilities(group[0], images, chosen, bench.federation.autocast)
            arrays[f"probability/{name}"] = found.half()
    return {"predictions": arrays}


def _packed(arrays: Mapping[str, Any]) -> bytes:
    """The bytes of an npz file; equal arrays give equal bytes."""
    content = io.BytesIO()
    plain = {name: each.detach().cpu().numpy() if isinstance(each, Tensor) else each for name, each in arrays.items()}
    np.savez_compressed(content, **plain)  # type: ignore[arg-type]
    return content.getvalue()
