"""Image generators: noise (N, latent) and, if conditional, labels (N,) become images (N, channels, size, size).

Both double a small map until it covers the image; where the doublings overshoot the wanted size, the centre is kept.
The last layer, `output`, decides the range of the pixels (see `image_range`).
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import torch
from torch import Tensor, nn


class UpsamplingGenerator(nn.Module):
    """Linear layers, then twice: nearest-neighbour upsampling and a 3×3 convolution.

    With `classes=None` it is DENSE's generator (Zhang et al., NeurIPS 2022), otherwise FedFTG's (Zhang et al., CVPR
    2022), where noise and one-hot label each fill half of the first map.

    Args:
        channels, size: of the images, size in pixels.
        latent: dimensions of the noise.
        classes: number of labels of a conditional generator; None for one without labels.
        base: channels of the last hidden map, half those of the first.
        output: maps raw pixels to the wanted range; by default a sigmoid (images in [0, 1]).
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        latent: int = 256,
        classes: int | None = None,
        base: int = 64,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.latent, self.classes, self.size = latent, classes, size
        side, conditional = ceil(size / 4), classes is not None
        self.noise = nn.Linear(latent, (base if conditional else 2 * base) * side**2)
        self.label = nn.Linear(classes, base * side**2) if classes is not None else None
        # The published conditional network has convolution biases, the unconditional one doesn't. BatchNorm makes them
        # idle; they are kept so that parameter and byte counts agree.
        self.layers = nn.Sequential(
            nn.Unflatten(1, (2 * base, side, side)),
            nn.BatchNorm2d(2 * base),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * base, 2 * base, 3, padding=1, bias=conditional),
            nn.BatchNorm2d(2 * base),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * base, base, 3, padding=1, bias=conditional),
            nn.BatchNorm2d(base),
            nn.LeakyReLU(0.2),
            nn.Conv2d(base, channels, 3, padding=1),
            output if output is not None else nn.Sigmoid(),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of noise and int64 labels. Raises ValueError when labels are missing or not wanted."""
        maps = self.noise(z)
        one_hot = _one_hot(labels, self.classes, z)
        if self.label is not None:
            maps = torch.cat([maps, self.label(one_hot)], dim=1)
        return _centre(self.layers(maps), self.size)


class DCGANGenerator(nn.Module):
    """Transposed convolutions from a 4×4 map, doubling it up to the image (Radford et al., ICLR 2016).

    A conditional one reads noise and one-hot label side by side.

    Args:
        channels, size: of the images, size in pixels.
        latent: dimensions of the noise.
        classes: number of labels of a conditional generator; None for one without labels.
        base: channels at full resolution; every halving of the map doubles them, up to 8·base.
        output: maps raw pixels to the wanted range; by default a tanh (images in [-1, 1]).
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        latent: int = 100,
        classes: int | None = None,
        base: int = 64,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.latent, self.classes, self.size = latent, classes, size
        doublings = (ceil(size / 4) - 1).bit_length()
        widths = [base * min(8, 2**halvings) for halvings in range(doublings, -1, -1)]
        layers = [nn.ConvTranspose2d(latent + (classes or 0), widths[0], 4, bias=False), *_norm_relu(widths[0])]
        for source, target in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(source, target, 4, stride=2, padding=1, bias=False),
                *_norm_relu(target),
            ]
        layers += [nn.Conv2d(base, channels, 1, bias=False), output if output is not None else nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_dcgan_(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of noise and int64 labels. Raises ValueError when labels are missing or not wanted."""
        code = torch.cat([z, _one_hot(labels, self.classes, z)], dim=1)
        return _centre(self.layers(code[:, :, None, None]), self.size)


def init_dcgan_(network: nn.Module) -> None:
    """Draw a network anew as DCGAN does: weights N(0, 0.02²), BatchNorm scales N(1, 0.02²), biases 0, fresh statistics.

    Uses torch's global generator. DENSE re-initialises its generator so in every epoch.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)):
            if layer.weight is not None:
                nn.init.normal_(layer.weight, 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _norm_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def _one_hot(labels: Tensor | None, classes: int | None, like: Tensor) -> Tensor:
    """Labels (N,) as (N, classes) of the dtype of `like`; (N, 0) for an unconditional generator."""
    if (labels is None) != (classes is None):
        raise ValueError("a conditional generator needs labels, an unconditional one takes none")
    if labels is None or classes is None:
        return like.new_zeros(len(like), 0)
    return nn.functional.one_hot(labels, classes).to(like.dtype)


def _centre(images: Tensor, size: int) -> Tensor:
    """The central size×size pixels."""
    margin = (images.shape[-1] - size) // 2
    return images[..., margin : margin + size, margin : margin + size]
