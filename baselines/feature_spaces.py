"""Feature vectors that a frozen classifier makes of images: the spaces in which clients describe their classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from mosaic_bench.models import Classifier

Space = Literal["last", "blocks"]
"""The head's input, or pooled maps of every resolution."""


class FeatureSpace(nn.Module):
    """Frozen features of a classifier in eval mode, float32 whatever the suite's precision.

    ``blocks`` pools the last map of every resolution and width over all positions, and the last two maps over their
    quarters too: 496 numbers for ResNet-8. A network without maps has only its head's input.

    Closed-form heads need float32: in bfloat16 they lose ten points.

    Args:
        classifier: shared, not copied; put in eval mode.
        space: which features.
    """

    def __init__(self, classifier: Classifier, space: Space) -> None:
        super().__init__()
        self.classifier = classifier.eval()
        self.space = space

    def forward(self, images: Tensor) -> Tensor:
        """Features (b, d) of images (b, C, H, W)."""
        with torch.autocast(images.device.type, enabled=False):
            if self.space == "last":
                return self.classifier.features(images.float())
            maps = list(self._maps(images.float()))
            if not maps:
                return self.classifier.features(images.float())
            pooled = [each.mean((2, 3)) for each in maps]
            quarters = [adaptive_avg_pool2d(each, 2).flatten(1) for each in maps[-2:]]
            return torch.cat(pooled + quarters, 1)

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the last map (b, c, h, w) of every shape that follows another, 1×1 maps left out."""
        last: Tensor | None = None
        for layer in self.classifier.body.children():
            x = layer(x)
            is_map = x.dim() == 4 and x.shape[-1] > 1
            if last is not None and (not is_map or x.shape != last.shape):
                yield last
            last = x if is_map else None
