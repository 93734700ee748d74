"""Whether an architecture can take the images of a data set."""

from __future__ import annotations

import warnings
from functools import cache

import torch

from mosaic_bench.models import build


@cache
def misfit(arch: str, norm: str, channels: int, size: int, classes: int) -> str | None:
    """Say what goes wrong with images (channels, size, size), as when poolings leave nothing of them; None if they fit.

    One image goes through: the meta device would compute nothing, but takes two seconds to load.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=()):
        warnings.simplefilter("ignore")  # of layers without inputs, whose error follows
        model = build(arch, channels=channels, size=size, classes=classes, norm=norm).eval()
    try:
        with torch.inference_mode():
            model(torch.zeros(1, channels, size, size))
    except RuntimeError as error:
        return str(error)
    return None
