"""Two convolutions and a global average."""

from torch import nn

from mosaic_bench.models import Blueprint, Classifier, linear, register_architecture


@register_architecture("plainnet")
def plainnet(blueprint: Blueprint) -> Classifier:
    """Make the network; every layer says which channels it reads and writes, so that slices can cut it."""
    first, second = blueprint.group("first", 16), blueprint.group("second", 32)
    body = nn.Sequential(
        *blueprint.conv_norm(blueprint.image, first, 3),
        nn.ReLU(),
        *blueprint.conv_norm(first, second, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Classifier(body, linear(second, blueprint.logits))
