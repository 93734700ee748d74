"""Networks for images of one pixel: points of a plane, on which decision regions can be drawn."""

from __future__ import annotations

from torch import nn

_WIDTH = 64


class PointGenerator(nn.Sequential):
    """Noise (b, latent) -> points (b, dimensions, 1, 1), anywhere in the plane."""

    def __init__(self, dimensions: int, latent: int) -> None:
        super().__init__(
            nn.Linear(latent, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, dimensions),
            nn.Unflatten(1, (dimensions, 1, 1)),
        )  # fmt: skip


class PointDiscriminator(nn.Sequential):
    """Points (b, dimensions, 1, 1) -> log-odds (b,) of being real."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(dimensions, _WIDTH), nn.LeakyReLU(0.2), nn.Linear(_WIDTH, _WIDTH),
            nn.LeakyReLU(0.2), nn.Linear(_WIDTH, 1), nn.Flatten(0),
        )  # fmt: skip
