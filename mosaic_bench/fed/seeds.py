"""Randomness without state: every draw comes from a generator seeded by what it may depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_of(seed: int, purpose: str, **axes: str | int) -> int:
    """Hash a cell's seed, a purpose and the axes a draw depends on into 63 bits.

    Torch's CPU generator and numpy's legacy one use the lowest 32 of them.
    """
    text = json.dumps([seed, purpose, sorted(axes.items())])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, **axes: str | int) -> torch.Generator:
    """Return a CPU generator; draws are made on the CPU so that their values do not depend on the device."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, **axes))


def numpy_rng(seed: int, purpose: str, **axes: str | int) -> np.random.RandomState:
    """Return a legacy numpy generator, whose stream numpy never changes."""
    return np.random.RandomState(seed_of(seed, purpose, **axes) % 2**32)


@contextmanager
def seeded(seed: int, purpose: str, **axes: str | int) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them after it (initial weights, dropout)."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed_of(seed, purpose, **axes))
        yield
