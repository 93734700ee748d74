"""Where cells run, and how many at a time."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from mosaic_bench.errors import UserError


class Slots:
    """Hands out places on devices: a share of one, or one whole.

    Args:
        devices: torch device strings.
        workers: cells at a time, on all devices together; as many as there are places when not given.
        per_device: cells that share a device; when not given, as many as ``workers`` need, or else one per GPU and one
            per core on a CPU.
        threads: of a cell on a CPU.
    """

    def __init__(
        self, devices: Sequence[str], workers: int | None = None, per_device: int | None = None, threads: int = 1
    ) -> None:
        if per_device is None:
            needed = math.ceil((workers or 0) / len(devices))
            per_device = needed or (1 if devices[0] != "cpu" else max(1, cores() // threads))
        places = per_device * len(devices)
        self.count = min(workers or places, places)
        self._per_device = per_device
        self._free = dict.fromkeys(devices, per_device)
        self._reserved: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def share(self) -> Iterator[str]:
        """Wait for a place on a device, and give it back at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._freest() is not None)
            device = self._freest()
            assert device is not None
            self._free[device] -= 1
        try:
            yield device
        finally:
            self._give_back(device, 1)

    @contextmanager
    def whole(self) -> Iterator[str]:
        """Wait until nothing else runs on some device; nothing new starts on it meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._reserved) < len(self._free))
            device = max(self._free.keys() - self._reserved, key=self._free.__getitem__)
            self._reserved.add(device)
            self._changed.wait_for(lambda: self._free[device] == self._per_device)
            self._free[device] = 0
        try:
            yield device
        finally:
            self._reserved.discard(device)
            self._give_back(device, self._per_device)

    def _freest(self) -> str | None:
        """The device with most places left, those aside that a cell waits to have alone."""
        open_ = [device for device, places in self._free.items() if places and device not in self._reserved]
        return max(open_, key=self._free.__getitem__, default=None)

    def _give_back(self, device: str, places: int) -> None:
        with self._changed:
            self._free[device] += places
            self._changed.notify_all()


def choose_devices(wanted: str) -> list[str]:
    """Return torch device strings: ``auto`` is every GPU where there are any, a comma parts several.

    Raises:
        UserError: a device that is not there, or a CPU beside GPUs, whose results differ in the last bits.
    """
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return [f"cuda:{index}" for index in range(present)] or ["cpu"]
    devices = list(dict.fromkeys(_device(name.strip(), wanted, present) for name in wanted.split(",")))
    if "cpu" in devices and len(devices) > 1:
        raise UserError(f"--devices {wanted}: the cells of a suite run on a CPU or on GPUs, not on both")
    return devices


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _device(name: str, wanted: str, present: int) -> str:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in {"cpu", "cuda"}:
        raise UserError(f"--devices {wanted}: expected auto, cpu, or GPUs such as cuda:0,cuda:1")
    if device.type == "cpu":
        return "cpu"
    if (device.index or 0) >= present:
        raise UserError(f"--devices {wanted}: this machine has {present} CUDA devices")
    return f"cuda:{device.index or 0}"
