"""What labels are called in front of readers."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAMES = {
    "dirichlet": "Dirichlet",
    "iid": "IID",
    "mnist": "MNIST",
    "fmnist": "Fashion-MNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "tiny_imagenet": "Tiny-ImageNet",
    "food101": "Food-101",
    "alpha": "α",
    "rho": "ρ",
    "sigma": "σ",
    "partition.alpha": "α",
    "models.widths": "widths",
    "models.extract": "extraction",
}


def display(label: str, titles: Mapping[str, str]) -> str:
    """``dirichlet(alpha=0.1)`` -> ``Dirichlet(α=0.1)``; names that nobody gave a title stay as they are.

    ``titles`` holds what the suite's algorithms call themselves. A name with slashes or hyphens, ``mosaic/statistics``,
    is looked up whole, then by parts: ``resnet8/cnn`` are two architectures.
    """
    return re.sub(r"[A-Za-z_][A-Za-z0-9_/-]*", lambda match: titles.get(match[0]) or _known(match[0]), label)


def in_words(metric: str) -> str:
    """``acc/server@test`` -> ``Accuracy of the server on test images``."""
    what, _, rest = metric.partition("/")
    predictor, _, split = rest.partition("@")
    quantity = {"acc": "Accuracy", "nll": "Negative log-likelihood"}[what]
    images = {"test": "test images", "val": "validation images", "local": "the clients' own test images"}[split]
    return f"{quantity} of the {predictor} on {images}"


def _known(name: str) -> str:
    return "".join(_NAMES.get(part, part) for part in re.split(r"([-/])", name))
