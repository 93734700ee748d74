"""How a value of a grid axis is called in tables, in progress lines and in ``--only``."""

from __future__ import annotations

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
        return str(name) + _arguments(params if isinstance(params, dict) else {})
    return _arguments(value)


def head(text: str) -> str:
    """Return a label without its parameters: ``dirichlet(alpha=0.1)`` -> ``dirichlet``."""
    return text.partition("(")[0] or text


def _arguments(params: dict[str, Any]) -> str:
    if not params:
        return ""
    return "(" + ", ".join(f"{key}={label(value)}" for key, value in params.items()) + ")"
