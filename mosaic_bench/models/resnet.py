"""Residual networks for small images: 3×3 stem without pooling, post-activation blocks (He et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mosaic_bench.models.blueprint import Blueprint
from mosaic_bench.models.channels import Channels, linear
from mosaic_bench.models.classifier import Classifier
from mosaic_bench.models.zoo import register_architecture

Branch = Callable[[Blueprint, str, Channels, Channels, int, int], nn.Module]


class Residual(nn.Module):
    """`relu(branch(x) + shortcut(x))` on maps (N, C, H, W)."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the block's output group."""
        return nn.functional.relu(self.branch(x) + self.shortcut(x))


def basic(
    blueprint: Blueprint, name: str, source: Channels, target: Channels, width: int, stride: int
) -> nn.Sequential:
    """Two 3×3 convolutions."""
    inner = blueprint.group(f"{name}.inner", width)
    return nn.Sequential(
        *blueprint.conv_norm(source, inner, 3, stride=stride),
        nn.ReLU(),
        *blueprint.conv_norm(inner, target, 3),
    )


def bottleneck(
    blueprint: Blueprint, name: str, source: Channels, target: Channels, width: int, stride: int
) -> nn.Sequential:
    """1×1, 3×3 (strided) and 1×1 convolutions; the output is four times as wide as the inside."""
    squeezed, inner = blueprint.group(f"{name}.squeezed", width), blueprint.group(f"{name}.inner", width)
    return nn.Sequential(
        *blueprint.conv_norm(source, squeezed, 1),
        nn.ReLU(),
        *blueprint.conv_norm(squeezed, inner, 3, stride=stride),
        nn.ReLU(),
        *blueprint.conv_norm(inner, target, 1),
    )


def resnet(
    blueprint: Blueprint, widths: Sequence[int], depths: Sequence[int], branch: Branch = basic, expansion: int = 1
) -> Classifier:
    """Stages of `depths[i]` blocks with inner width `widths[i]`; all but the first stage halve the map.

    A stage is one channel group: its blocks are added to one another. The first stage shares the stem's group when its
    first block has an identity shortcut.
    DEVIATION: shortcuts that change width are 1×1 convolutions in the 16-32-64 networks too, where the paper pads with
    zeros: padding would tie the channel sets of two stages together.
    """
    source = blueprint.group("stem", widths[0])
    layers: list[nn.Module] = [*blueprint.conv_norm(blueprint.image, source, 3), nn.ReLU()]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        same = stage == 1 and expansion == 1
        target = source if same else blueprint.group(f"stage{stage}", width * expansion)
        for block in range(depth):
            stride = 2 if stage > 1 and block == 0 else 1
            shortcut = [] if source == target else blueprint.conv_norm(source, target, 1, stride=stride)
            inside = branch(blueprint, f"stage{stage}.{block}", source, target, width, stride)
            layers.append(Residual(inside, nn.Sequential(*shortcut)))
            source = target
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Classifier(nn.Sequential(*layers), linear(source, blueprint.logits))


@register_architecture("resnet8")
def resnet8(blueprint: Blueprint) -> Classifier:
    """16-32-64, one block per stage; 78,042 parameters at 10 classes."""
    return resnet(blueprint, (16, 32, 64), (1, 1, 1))


@register_architecture("resnet20")
def resnet20(blueprint: Blueprint) -> Classifier:
    """16-32-64, three blocks per stage; 272,474 parameters at 10 classes."""
    return resnet(blueprint, (16, 32, 64), (3, 3, 3))


@register_architecture("resnet18")
def resnet18(blueprint: Blueprint) -> Classifier:
    """64-128-256-512, basic blocks; 11,173,962 parameters at 10 classes."""
    return resnet(blueprint, (64, 128, 256, 512), (2, 2, 2, 2))


@register_architecture("resnet34")
def resnet34(blueprint: Blueprint) -> Classifier:
    """64-128-256-512, basic blocks; 21,282,122 parameters at 10 classes."""
    return resnet(blueprint, (64, 128, 256, 512), (3, 4, 6, 3))


@register_architecture("resnet50")
def resnet50(blueprint: Blueprint) -> Classifier:
    """64-128-256-512, bottleneck blocks; 23,520,842 parameters at 10 classes."""
    return resnet(blueprint, (64, 128, 256, 512), (3, 4, 6, 3), bottleneck, expansion=4)
