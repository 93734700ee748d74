"""What an architecture is told about the data and the width it is built for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from torch import nn

from mosaic_bench.errors import UserError
from mosaic_bench.models.channels import Channels, convolution
from mosaic_bench.models.norm import norm_layer


def scaled(size: int, ratio: float) -> int:
    """ceil(ratio·size): channels kept of a group of `size`."""
    return ceil(ratio * size - 1e-9)  # 0.07 * 100 is slightly more than 7 in floating point


@dataclass(frozen=True)
class Blueprint:
    """What a network is built for.

    Attributes:
        channels, size: images are (channels, size, size).
        classes: number of logits.
        width: multiplies every channel count, in (0, 1].
        norm: batch, group or none.

    Raises:
        UserError: a value out of range.
    """

    channels: int
    size: int
    classes: int
    width: float = 1.0
    norm: str = "batch"

    def __post_init__(self) -> None:
        if not 0 < self.width <= 1:
            raise UserError(f"a width is a fraction in (0, 1], not {self.width}")
        for name in ("channels", "size", "classes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def image(self) -> Channels:
        """The input's channels, never cut."""
        return Channels(self.channels)

    @property
    def logits(self) -> Channels:
        """The output's classes, never cut."""
        return Channels(self.classes)

    def group(self, name: str, size: int) -> Channels:
        """A channel group that has `size` channels at width 1."""
        return Channels(scaled(size, self.width), name)

    def norm_of(self, channels: Channels, *, maps: bool = True) -> nn.Module:
        """The chosen normalisation of (N, C, H, W) maps, or of (N, C) vectors with `maps=False`."""
        return norm_layer(self.norm, channels, maps=maps)

    def conv_norm(
        self,
        source: Channels,
        target: Channels,
        kernel: int,
        *,
        stride: int = 1,
        depthwise: bool = False,
        bias: bool = False,
    ) -> list[nn.Module]:
        """A "same" convolution and its norm. Without a norm the convolution always has a bias."""
        bias = bias or self.norm == "none"
        layer = convolution(source, target, kernel, stride=stride, bias=bias, depthwise=depthwise)
        return [layer, self.norm_of(target)]
