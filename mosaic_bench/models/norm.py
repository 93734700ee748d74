"""Normalisation layers, and running statistics re-estimated on given images.

Between them and the averaging of running statistics lie the three BatchNorm policies of a suite: aggregate,
recalibrate, GroupNorm. Nothing evaluates with the statistics of a test batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import gcd
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mosaic_bench.errors import UserError
from mosaic_bench.models.channels import Channels, declare_axes
from mosaic_bench.models.modes import eval_mode

Norm = Literal["batch", "group", "none"]


def norm_layer(kind: str, channels: Channels, *, maps: bool = True) -> nn.Module:
    """Normalise (N, C, H, W) maps, or (N, C) vectors with `maps=False`.

    Raises:
        UserError: a `kind` other than batch, group or none.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "group":
        layer = nn.GroupNorm(group_count(channels.size), channels.size)
        return declare_axes(layer, weight=(channels,), bias=(channels,))
    if kind == "batch":
        batch_norm = nn.BatchNorm2d(channels.size) if maps else nn.BatchNorm1d(channels.size)
        per_channel = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,))
        return declare_axes(batch_norm, **per_channel, num_batches_tracked=())
    raise UserError(f"unknown norm {kind!r}; known: {', '.join(get_args(Norm))}")


def group_count(channels: int) -> int:
    """Number of GroupNorm groups: at most 8, of at least 4 channels each, or a single one.

    It divides whatever width slicing produces because it follows from the width at hand: a slice has its own, smaller
    number. Smaller groups are avoided since on a 1×1 map a group of one channel is normalised to zero.
    """
    return max(1, gcd(channels, 32) // 4)


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The BatchNorm layers that keep running statistics, found by type: names such as "shortcut.1" don't tell."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]


@torch.no_grad()
def recalibrate_(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Re-estimate BatchNorm running statistics, in place, as the average over the given image batches (N, C, H, W).

    Every image weighs the same, whatever its batch's size. Runs in float32 even under autocast. Parameters, counters,
    momenta and train/eval modes come out as they went in.

    Raises:
        ValueError: there are no images.
    """
    images = 0
    with _only_batch_norms_training(model) as layers:
        for batch in batches:
            images += len(batch)
            for layer in layers:
                layer.momentum = len(batch) / images  # turns the exponential average into a cumulative one
            with torch.autocast(batch.device.type, enabled=False):
                model(batch.float())
    if not images:
        raise ValueError("there are no images to recalibrate BatchNorm on")


@contextmanager
def _only_batch_norms_training(model: nn.Module) -> Iterator[list[_BatchNorm]]:
    """BatchNorm in train mode, the rest in eval mode; afterwards modes, momenta and counters are what they were."""
    layers = batch_norms(model)
    kept = [(layer, layer.momentum, layer.num_batches_tracked) for layer in layers]
    with eval_mode(model):
        for layer in layers:
            layer.train()
            layer.num_batches_tracked = None
        try:
            yield layers
        finally:
            for layer, momentum, counter in kept:
                layer.momentum, layer.num_batches_tracked = momentum, counter
