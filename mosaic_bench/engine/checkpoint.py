"""Checkpoints: written whole, proven readable before the previous one goes, and never able to run code."""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import torch

from mosaic_bench.store.atomic import replace_file, write_content

_DAMAGED = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a file with wrong bytes was seen to raise."""


def save_checkpoint(path: Path, content: dict[str, Any], limit: float = math.inf) -> bool:
    """Let ``content`` take the place of ``path`` once it is written whole; False where it needs over ``limit`` bytes.

    Raises:
        TypeError: something in it can be saved but not loaded; the previous checkpoint stays.
    """
    packed = pack_checkpoint(content)
    if len(packed) > limit:
        return False
    replace_file(path, lambda temporary: write_content(temporary, packed))
    return True


def pack_checkpoint(content: dict[str, Any]) -> bytes:
    """Return ``content`` as the bytes of a checkpoint that was read back with ``weights_only=True``.

    They are made in memory since torch reports a full disk as a RuntimeError without saying so.

    Raises:
        TypeError: something in it can be saved but not loaded.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    try:
        torch.load(buffer, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise TypeError(
            f"{_culprit(content)} can be saved but not loaded safely; keep tensors and plain values"
        ) from error
    return buffer.getvalue()


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Read a checkpoint, or return None when there is none that can be read."""
    try:
        return dict(torch.load(path, weights_only=True, map_location=device))
    except (FileNotFoundError, *_DAMAGED):
        return None


def _culprit(content: dict[str, Any]) -> str:
    """Name the first entry that does not survive a round trip."""
    for section, values in content.items():
        for name, value in values.items() if isinstance(values, dict) else ():
            buffer = io.BytesIO()
            torch.save(value, buffer)
            buffer.seek(0)
            try:
                torch.load(buffer, weights_only=True)
            except pickle.UnpicklingError:
                return f"self.{name}" if section == "state" else f"{section}.{name}"
    return "something in the checkpoint"
