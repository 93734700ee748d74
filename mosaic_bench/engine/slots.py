"""Where cells run, and how many at a time."""

from __future__ import annotations

import os

import torch

from mosaic_bench.errors import UserError


def choose_device(wanted: str) -> str:
    """Return a torch device string: ``auto`` is the first GPU where there is one.

    Raises:
        UserError: a device that is not there.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"--device {wanted}: expected auto, cpu or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {wanted}: this machine has {torch.cuda.device_count()} CUDA devices")
    return wanted


def default_workers(device: str) -> int:
    """One cell per core on a CPU, one per GPU."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
