"""The largest memory that this process has used."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

_KERNEL = Path("/proc/self/status")


def peak_bytes(device: torch.device) -> int:
    """Largest memory so far: of the device on a GPU, of the process elsewhere.

    Linux hands ``ru_maxrss`` on from the process that started this one, however large that is; ``VmHWM`` is our own.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _KERNEL.exists():
        for line in _KERNEL.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
