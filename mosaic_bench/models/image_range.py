"""Last layers of generators: where the pixels of a generated image lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class NormalisedImages(nn.Module):
    """`(sigmoid(x) - mean) / std`: exactly the range of real images in [0, 1] after normalisation, channel by channel.

    Generators that end in a tanh instead put out [-1, 1], which a classifier trained on normalised images sees as low
    contrast.

    Args:
        mean, std: of the data set, one number per channel. They are no part of the state: whoever receives the
            generator knows the data set.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (N, C, H, W) of unbounded maps of that shape."""
        return (x.sigmoid() - self.mean) / self.std


class StandardisedImages(nn.Sequential):
    """tanh, then BatchNorm without affine, as in FedFTG: each channel of a training batch has mean 0 and variance 1."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.Tanh(), nn.BatchNorm2d(channels, affine=False))
