"""How a value of a grid axis is called in tables, in progress lines and in ``--only``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def label(value: Any) -> str:
    """Return a short, readable name: ``fedavg``, ``dirichlet(alpha=0.1)``, ``resnet8/cnn``, ``0``."""
    if isinstance(value, list):
        return "/".join(map(label, value))
    if not isinstance(value, dict):
        return str(value)
    for key in ("name", "arch"):
        if key in value:
            rest = {k: v for k, v in value.items() if k not in {key, "params"}}
            params = value.get("params")
            return label(value[key]) + _arguments((params if isinstance(params, dict) else {}) | rest)
    if len(value) == 1:
        (name, params), *_ = value.items()
        if params is None or isinstance(params, dict):
            return str(name) + _arguments(params or {})
    return _arguments(value)


def head(text: str) -> str:
    """Return a label without its parameters: ``dirichlet(alpha=0.1)`` -> ``dirichlet``."""
    return text.partition("(")[0] or text


def arguments(text: str) -> list[str]:
    """Return a label's parameters: ``cnn(norm=none, widths=(rho=5, sigma=4))`` -> two of them."""
    inner = text.partition("(")[2][:-1]
    return split_at_commas(inner) if inner else []


def split_at_commas(text: str) -> list[str]:
    """Split at commas, except at those inside parentheses; spaces around the parts go."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


def without_shared_arguments(labels: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Shorten labels to what tells them apart: label -> short label, and the parameters that all of them share."""
    shared = [argument for argument in arguments(labels[0]) if all(argument in arguments(each) for each in labels)]
    short = {}
    for text in labels:
        own = [argument for argument in arguments(text) if argument not in shared]
        short[text] = head(text) + (f"({', '.join(own)})" if own else "")
    return short, shared


def telling(coordinates: Mapping[str, str], axes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the coordinates that tell a cell from the others of its grid: all of them where there is one value each.

    Args:
        coordinates: axis -> label, of the cell.
        axes: axis -> labels, of the grid.
    """
    return {axis: name for axis, name in coordinates.items() if len(axes[axis]) > 1} or dict(coordinates)


def _arguments(params: dict[str, Any]) -> str:
    if not params:
        return ""
    return "(" + ", ".join(f"{key}={label(value)}" for key, value in params.items()) + ")"
