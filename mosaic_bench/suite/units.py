"""Durations and sizes as suite files write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_seconds(value: Any) -> Any:
    """``6h`` -> 21600.0; what is not text is seconds already.

    Raises:
        ValueError: text that is no duration.
    """
    return _parse(value, _SECONDS, "seconds, or a duration such as 90s, 30m or 6h")


def parse_bytes(value: Any) -> Any:
    """``20GB`` -> 20000000000; what is not text is bytes already.

    Raises:
        ValueError: text that is no size.
    """
    size = _parse(value, _BYTES, "bytes, or a size such as 500MB or 20GB")
    return round(size) if isinstance(value, str) else value


def _parse(value: Any, units: Mapping[str, int], expected: str) -> Any:
    """A number and its unit as one number; what is not text as it is."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(units)})\s*", value)
    if match is None:
        raise ValueError(f"expected {expected}, got {value!r}")
    return float(match[1]) * units[match[2]]
