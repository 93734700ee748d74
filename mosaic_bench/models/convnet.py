"""Plain networks: the FedAvg CNN and multilayer perceptron, and the four-convolution net of the DFRD experiments."""

from __future__ import annotations

from torch import nn

from mosaic_bench.models.blueprint import Blueprint
from mosaic_bench.models.channels import linear
from mosaic_bench.models.classifier import Classifier
from mosaic_bench.models.zoo import register_architecture


@register_architecture("cnn")
def cnn(blueprint: Blueprint) -> Classifier:
    """Two 5×5 convolutions (32, 64), each with 2×2 max-pooling, and 512 hidden units (McMahan et al., AISTATS 2017).

    With `norm: none` it is the published net: 1,663,370 parameters on 28×28×1 images and 10 classes. Other norms sit
    behind each convolution.
    """
    first, second = blueprint.group("conv1", 32), blueprint.group("conv2", 64)
    hidden = blueprint.group("hidden", 512)
    side = blueprint.size // 4
    body = nn.Sequential(
        *blueprint.conv_norm(blueprint.image, first, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *blueprint.conv_norm(first, second, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        linear(second.flattened(side * side), hidden),
        nn.ReLU(),
    )
    return Classifier(body, linear(hidden, blueprint.logits))


@register_architecture("convnet4")
def convnet4(blueprint: Blueprint) -> Classifier:
    """Four 3×3 convolutions (64-128-256-512) with max-pooling between them and a global average at the end.

    The convolutions keep their biases in front of a norm, as published: 1,558,026 parameters on RGB images and 10
    classes.
    """
    source, layers = blueprint.image, list[nn.Module]()
    for index, width in enumerate((64, 128, 256, 512), start=1):
        if index > 1:
            layers.append(nn.MaxPool2d(2))
        target = blueprint.group(f"conv{index}", width)
        layers += [*blueprint.conv_norm(source, target, 3, bias=True), nn.ReLU()]
        source = target
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Classifier(nn.Sequential(*layers), linear(source, blueprint.logits))


@register_architecture("mlp")
def mlp(blueprint: Blueprint) -> Classifier:
    """Two hidden layers of 200 units on the flattened input, the "2NN" of McMahan et al. (AISTATS 2017).

    With `norm: none` it has the published 199,210 parameters on 28×28×1 images and 10 classes. Points in the plane are
    images of 2 channels and size 1.
    """
    first, second = blueprint.group("hidden1", 200), blueprint.group("hidden2", 200)
    body = nn.Sequential(
        nn.Flatten(),
        linear(blueprint.image.flattened(blueprint.size**2), first),
        blueprint.norm_of(first, maps=False),
        nn.ReLU(),
        linear(first, second),
        blueprint.norm_of(second, maps=False),
        nn.ReLU(),
    )
    return Classifier(body, linear(second, blueprint.logits))
