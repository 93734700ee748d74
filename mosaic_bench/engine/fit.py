"""Whether an architecture can take the images of a data set."""

from __future__ import annotations

import warnings
from functools import cache

import torch

from mosaic_bench.models import build


@cache
def misfit(arch: str, norm: str, channels: int, size: int, classes: int) -> str | None:
    """Say what goes wrong with images (channels, size, size), as when poolings leave nothing of them; None if they fit.

    The pass runs on the meta device, so nothing is computed.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=()):
        warnings.simplefilter("ignore")  # of layers without inputs, whose error follows
        model = build(arch, channels=channels, size=size, classes=classes, norm=norm).to("meta").eval()
    try:
        with torch.inference_mode():
            model(torch.empty(1, channels, size, size, device="meta"))
    except RuntimeError as error:
        return str(error)
    return None
