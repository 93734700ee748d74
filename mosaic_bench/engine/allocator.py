"""How the C library of this process gets memory from the system: it keeps what was freed."""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt, by their numbers in glibc's malloc.h.
_ALLOCATION = {
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: bytes of free memory that may stay, the most that mallopt takes
    -2: 64 * 2**20,  # M_TOP_PAD: bytes to ask for beyond what is needed
    -4: 0,  # M_MMAP_MAX: large blocks come from the heap too
}


def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next tensors; nothing happens where the C library is not glibc.

    By default the activations of every training step go back to the system, which clears each page again when the next
    step touches it: up to a tenth of a small network's step, more on a busy machine (docs/performance.md). No number
    depends on it, and peak memory is about the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _ALLOCATION.items():
            mallopt(parameter, value)
