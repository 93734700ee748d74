"""The discriminator that goes with the DCGAN generator."""

from __future__ import annotations

from torch import Tensor, nn

from mosaic_bench.models.generators import init_dcgan_


class DCGANDiscriminator(nn.Module):
    """Strided 4×4 convolutions down to a 2×2 or 3×3 map, then one logit per image (Radford et al., ICLR 2016).

    DEVIATION: it returns the logit, and the sigmoid belongs to the loss, where it can't saturate.

    Args:
        channels, size: of the images, size in pixels.
        base: channels of the first map; every halving doubles them, up to 8·base.
    """

    def __init__(self, *, channels: int, size: int, base: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        source, side = channels, size
        while side >= 4:
            target = base if not layers else min(2 * source, 8 * base)
            norm = [nn.BatchNorm2d(target)] if layers else []
            layers += [nn.Conv2d(source, target, 4, 2, padding=1, bias=False), *norm, nn.LeakyReLU(0.2)]
            source, side = target, side // 2
        layers += [nn.Conv2d(source, 1, side, bias=False), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers)
        init_dcgan_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N,) of images (N, C, H, W) being real."""
        logits: Tensor = self.layers(x)
        return logits
