"""MobileNetV2 for small images (Sandler et al., CVPR 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from mosaic_bench.models.blueprint import Blueprint
from mosaic_bench.models.channels import Channels, linear
from mosaic_bench.models.classifier import Classifier
from mosaic_bench.models.zoo import register_architecture

# Expansion, output channels, blocks and stride of the first block, per stage.
# DEVIATION: the stem and the second stage don't halve the map, as suits small images; the paper's have 224 pixels.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class Skip(nn.Sequential):
    """Layers whose output is added to their input."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape as `x`."""
        y: Tensor = super().forward(x)
        return x + y


def inverted_residual(
    blueprint: Blueprint, source: Channels, hidden: Channels, target: Channels, stride: int
) -> nn.Sequential:
    """Expand to `hidden` by a 1×1 convolution, filter it depthwise, project to `target`."""
    expand = [] if hidden == source else [*blueprint.conv_norm(source, hidden, 1), nn.ReLU6()]
    layers = [
        *expand,
        *blueprint.conv_norm(hidden, hidden, 3, stride=stride, depthwise=True),
        nn.ReLU6(),
        *blueprint.conv_norm(hidden, target, 1),
    ]
    return Skip(*layers) if source == target else nn.Sequential(*layers)


@register_architecture("mobilenet")
def mobilenet(blueprint: Blueprint) -> Classifier:
    """MobileNetV2 with a stride-1 stem; 2,236,682 parameters at 10 classes."""
    source, source_width = blueprint.group("stem", 32), 32
    layers: list[nn.Module] = [*blueprint.conv_norm(blueprint.image, source, 3), nn.ReLU6()]
    for stage, (expansion, width, depth, first_stride) in enumerate(STAGES, start=1):
        target = blueprint.group(f"stage{stage}", width)
        for block in range(depth):
            hidden = source
            if expansion > 1:
                hidden = blueprint.group(f"stage{stage}.{block}.hidden", source_width * expansion)
            stride = first_stride if block == 0 else 1
            layers.append(inverted_residual(blueprint, source, hidden, target, stride))
            source, source_width = target, width
    features = blueprint.group("features", 1280)
    layers += [*blueprint.conv_norm(source, features, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Classifier(nn.Sequential(*layers), linear(features, blueprint.logits))
