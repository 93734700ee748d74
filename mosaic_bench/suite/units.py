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
    if not isinstance(value, str):
        return value
    seconds = _parse(value, _SECONDS)
    if seconds is None:
        raise ValueError(f"expected seconds, or a duration such as 90s, 30m or 6h, got {value!r}")
    return seconds


def parse_bytes(value: Any) -> Any:
    """``20GB`` -> 20000000000; what is not text is bytes already.

    Raises:
        ValueError: text that is no size.
    """
    if not isinstance(value, str):
        return value
    size = _parse(value, _BYTES)
    if size is None:
        raise ValueError(f"expected bytes, or a size such as 500MB or 20GB, got {value!r}")
    return round(size)


def _parse(text: str, units: Mapping[str, int]) -> float | None:
    """A number and its unit as one number; None for any other text."""
    match = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(units)})\s*", text)
    return None if match is None else float(match[1]) * units[match[2]]
