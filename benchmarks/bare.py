"""Yardstick A, bare: the tightest honest PyTorch loop that trains one model, with nothing federated around it.

Images are one uint8 tensor on the device, batches are made by indexing, cropped and mirrored as a whole, the model is
channels last, the optimiser is fused, and nothing waits for the device. What a client of the harness costs beyond this
is the harness's overhead.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAD = 4


def train_bare(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int,
    batch: int,
    lr: float,
    momentum: float,
    bf16: bool,
    moments: tuple[Tensor, Tensor],
) -> None:
    """Train ``model`` in place.

    Args:
        model: a classifier in channels-last memory format.
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        steps, batch, lr, momentum: of SGD.
        bf16: whether to use bf16 autocast.
        moments: mean and standard deviation of pixels in [0, 255], each (C,).
    """
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, fused=True)
    scale, shift = 1 / moments[1], -moments[0] / moments[1]
    order = torch.randperm(len(images), device=images.device)
    for step in range(steps):
        start = step * batch % (len(images) - batch + 1)
        chosen = order[start : start + batch]
        inputs = _augmented(images[chosen]).float().mul_(scale).add_(shift).permute(0, 3, 1, 2)
        with torch.autocast(images.device.type, torch.bfloat16) if bf16 else nullcontext():
            loss = F.cross_entropy(model(inputs), labels[chosen])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def _augmented(images: Tensor) -> Tensor:
    """Crop every image of a padded batch at its own offset and mirror half of them, by one gather of pixels."""
    count, height, width, channels = images.shape
    padded = F.pad(images, (0, 0, PAD, PAD, PAD, PAD))
    top, left = torch.randint(0, 2 * PAD + 1, (2, count, 1), device=images.device)
    rows = top + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = torch.where(torch.rand(count, 1, device=images.device) < 0.5, columns, columns.flip(1)) + left
    flat = (rows[:, :, None] * padded.shape[2] + columns[:, None, :]).view(count, -1, 1).expand(-1, -1, channels)
    return padded.view(count, -1, channels).gather(1, flat).view(images.shape)
