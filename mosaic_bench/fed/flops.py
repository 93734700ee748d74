"""FLOPs of training, counted without computing anything."""

from __future__ import annotations

import torch

from mosaic_bench.models import Classifier


def training_flops_per_image(model: Classifier, channels: int, size: int) -> int:
    """Count multiply-adds (two operations each) of one image's forward and backward pass.

    The model is moved to the meta device, so no arithmetic runs and no random number is drawn. What a method's own
    loss adds beyond the model's pass is not counted.
    """
    from torch.utils.flop_counter import FlopCounterMode  # a fifth of a second that verbs without training save

    batch = 2  # BatchNorm refuses to train on one image
    model = model.to("meta").train()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(batch, channels, size, size, device="meta")).sum().backward()
    return counter.get_total_flops() // batch
