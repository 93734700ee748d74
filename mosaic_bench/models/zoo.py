"""The registry of client architectures."""

from __future__ import annotations

from collections.abc import Callable

from mosaic_bench.errors import UserError, did_you_mean
from mosaic_bench.models.blueprint import Blueprint
from mosaic_bench.models.classifier import Classifier

Architecture = Callable[[Blueprint], Classifier]
ARCHITECTURES: dict[str, Architecture] = {}


def register_architecture(name: str) -> Callable[[Architecture], Architecture]:
    """Decorator that makes a function from :class:`Blueprint` to :class:`Classifier` available to suites as `name`.

    Raises:
        UserError: the name is taken.
    """

    def register(architecture: Architecture) -> Architecture:
        if name in ARCHITECTURES:
            raise UserError(f"architecture {name!r} is registered twice")
        ARCHITECTURES[name] = architecture
        return architecture

    return register


def build(arch: str, *, channels: int, size: int, classes: int, width: float = 1.0, norm: str = "batch") -> Classifier:
    """A freshly initialised classifier, drawn from torch's global generator.

    Args:
        arch: name of a registered architecture.
        channels, size: of the images, size in pixels (8 to 64; the mlp takes any).
        classes: number of logits.
        width: multiplier in (0, 1], by which every group of W channels shrinks to ceil(width·W).
        norm: batch, group or none.

    Raises:
        UserError: an unknown architecture or norm, or a value out of range.
    """
    return find_architecture(arch)(Blueprint(channels, size, classes, width, norm))


def find_architecture(name: str) -> Architecture:
    """The architecture registered as `name`.

    Raises:
        UserError: there is none.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"unknown architecture '{name}'{did_you_mean(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]
