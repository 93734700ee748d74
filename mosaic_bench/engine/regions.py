"""What models answer all over the plane, where images are points of one."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor

from mosaic_bench.api import Predictor
from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.evaluate import probabilities

_SIDE = 120  # points of the grid, each way


def decision_regions(
    bench: Bench, models: Mapping[str, Predictor], samples: Mapping[int, Tensor]
) -> dict[str, Mapping[str, Any]]:
    """Return each model's class on a grid over the test points, those points, and the clients' generated ones.

    Generated points go with the server, which learned from them; clients take turns. Empty where images are not points
    of a plane.

    Args:
        bench: the cell's.
        models: by name.
        samples: client -> normalised points (n, 2, 1, 1), equally many each; may be empty.
    """
    task, (test, indices) = bench.federation.task, bench.judged["test"]
    if (task.channels, task.size) != (2, 1):
        return {}
    points = test.images[indices].flatten(1)
    low, high = points.amin(0), points.amax(0)
    x, y = (torch.linspace(float(a), float(b), _SIDE) for a, b in zip(low, high, strict=True))
    plane = copy(test)
    plane.images = torch.cartesian_prod(y, x).flip(1).to(points)[:, None, None]
    grid = torch.arange(_SIDE**2, device=points.device)
    arrays: dict[str, Any] = {"kind": "decision_regions", "x": x, "y": y}
    arrays |= {"points": points, "labels": test.labels[indices]}
    for name, model in models.items():
        classes = probabilities(model, plane, grid, bench.federation.autocast).argmax(1)
        arrays[f"region/{name}"] = classes.view(_SIDE, _SIDE).to(torch.int16)
    if samples and "server" in models:
        mean, std = (points.new_tensor(values) for values in (task.mean, task.std))
        arrays["samples/server"] = (
            torch.stack([made.flatten(1) for made in samples.values()], 1).flatten(0, 1) * std + mean
        )
    return {"regions": arrays}
