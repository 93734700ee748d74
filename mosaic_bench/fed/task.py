"""What an algorithm may know of the data set without seeing an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mosaic_bench.data import Dataset


@dataclass(frozen=True)
class Task:
    """Shape and scale of the images.

    Attributes:
        classes: number of classes C.
        channels, size: images are (channels, size, size).
        mean, std: per channel, of pixels in [0, 1]; clients see (pixel - mean) / std.
        flip: whether a mirrored image is still of its class (false for digits).
    """

    classes: int
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool

    @classmethod
    def of(cls, dataset: Dataset) -> Task:
        """Describe a data set."""
        return cls(dataset.num_classes, dataset.channels, dataset.size, dataset.mean, dataset.std, dataset.flip)

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Map 8-bit images (b, C, H, W) to the normalised range that the models are trained on, float32."""
        mean, std = self._moments(pixels)
        return (pixels.float() / 255 - mean) / std

    def to_pixels(self, images: Tensor) -> Tensor:
        """Map normalised images (b, C, H, W) to 8-bit pixels; what lies outside [0, 1] is cut."""
        mean, std = self._moments(images)
        return ((images.float() * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)

    def _moments(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation per channel, (1, C, 1, 1), float32 on the device of ``like``."""
        mean, std = (torch.tensor(values, device=like.device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return mean, std
