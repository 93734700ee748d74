"""FLOPs of a cell, estimated from its description: what its clients' training and its evaluations need."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import torch

from mosaic_bench.engine.costs.shape import Images
from mosaic_bench.fed.assignment import client_widths
from mosaic_bench.fed.flops import FlopCounter
from mosaic_bench.models import build
from mosaic_bench.suite import Cell

FORWARD_AND_BACKWARD = 3  # passes, in FLOPs of the forward one


@dataclass(frozen=True)
class ModelSize:
    """One architecture at full width: FLOPs of one image's forward pass, and number of parameters."""

    flops: int
    parameters: int


def measure_model(arch: str, norm: str, images: Images) -> ModelSize:
    """Count what one image's forward pass needs, in eval mode."""
    shape = {"channels": images.channels, "size": images.size, "classes": images.classes}
    with torch.random.fork_rng(devices=()):
        model = build(arch, **shape, width=1.0, norm=norm).eval()
    with torch.inference_mode(), FlopCounter() as counter:
        model(torch.zeros(1, images.channels, images.size, images.size))
    return ModelSize(counter.total, sum(p.numel() for p in model.parameters()))


def training_flops(cell: Cell, images: Images, sizes: list[ModelSize]) -> float:
    """Estimate the FLOPs of all local training; ``sizes`` holds one entry per architecture of the cell.

    Those of a slice go with the square of its width.
    """
    federation, local = cell.federation, cell.local
    widths = fmean(width**2 for width in client_widths(cell)) * cell.models.width**2
    per_image = FORWARD_AND_BACKWARD * widths * fmean(size.flops for size in sizes)
    held = images.train * (1 - federation.validation) / federation.clients
    per_client = (local.epochs or 0) * held + (local.steps or 0) * min(local.batch, held)
    return per_image * per_client * federation.cohort * federation.rounds


def evaluation_flops(cell: Cell, images: Images, sizes: list[ModelSize]) -> float:
    """Estimate the FLOPs of every evaluation of one predictor."""
    judged = images.test + images.train * cell.federation.validation
    return cell.models.width**2 * sum(size.flops for size in sizes) * judged * evaluations(cell)


def evaluations(cell: Cell) -> int:
    """Return how often a cell of one step per round is evaluated: every so many steps, and after the last."""
    return -(-cell.federation.rounds // cell.evaluate.every)
