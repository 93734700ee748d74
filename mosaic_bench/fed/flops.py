"""FLOPs of training, counted without computing anything."""

from __future__ import annotations

from math import prod
from typing import Any

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
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        model(torch.empty(batch, channels, size, size, device="meta")).sum().backward()
    return counter.get_total_flops() // batch


def _convolution_backward(
    grad: torch.Size, x: torch.Size, weight: torch.Size, *others: Any, out_shape: Any = None, **_: Any
) -> int:
    """Every gradient costs what the forward pass does; torch's own formula counts grouped ones ``groups`` times over.

    Args:
        grad: shape of the output's gradient, (b, O, h, w).
        x: shape of the input, (b, I, H, W).
        weight: shape of the weight.
        others: bias sizes, stride, padding, dilation, whether transposed, output padding, groups, wanted gradients.
        out_shape: not needed.
    """
    transposed, wanted = others[4], others[7]
    positions = (x if transposed else grad)[2:]
    return 2 * grad[0] * prod(positions) * prod(weight) * sum(wanted[:2])
