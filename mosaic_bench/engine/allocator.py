"""How the C library of this process gets memory from the system: it keeps what was freed."""

from __future__ import annotations

import ctypes
import sys

# Numbers of mallopt's parameters (malloc.h of glibc).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4

_NEVER = 2**31 - 1  # bytes of free memory at the top of the heap that go back to the system
_AHEAD = 64 * 2**20  # bytes asked for beyond what is needed


def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next tensors; nothing happens where the C library is not glibc.

    By default the activations of every training step go back to the system, which clears each page again when the next
    step touches it: a fifth of the time of a small network's step (docs/performance.md). No number depends on it, and
    peak memory is about the same.
    """
    set_allocator({TRIM_THRESHOLD: _NEVER, TOP_PAD: _AHEAD, MMAP_MAX: 0})


def set_allocator(parameters: dict[int, int]) -> None:
    """Set parameters of glibc's ``mallopt`` (number -> value) for this process; nothing happens without glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for number, value in parameters.items():
            mallopt(number, value)
