"""What a method costs: bytes, samples, FLOPs and seconds, counted by the harness and never by the method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mosaic_bench.fed.clock import Clock, Mark

_PLAIN = 8  # bytes of a Python number on the wire


def size_in_bytes(value: Any) -> int:
    """Count the bytes of whatever crosses between server and client, by walking it.

    Tensors and arrays count elements times item size, modules their whole state (BatchNorm buffers and counters
    included), Python numbers 8 bytes, strings their UTF-8 length; mappings and sequences the sum of their values.

    Raises:
        TypeError: a type whose size on the wire is not known.
    """
    if value is None:
        return 0
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, nn.Module):
        return size_in_bytes(value.state_dict())
    if isinstance(value, bool | int | float | np.generic):
        return _PLAIN
    if isinstance(value, str | bytes):
        return len(value.encode() if isinstance(value, str) else value)
    if isinstance(value, Mapping):
        return sum(size_in_bytes(item) for item in value.values())
    if isinstance(value, Sequence):
        return sum(size_in_bytes(item) for item in value)
    raise TypeError(
        f"{type(value).__name__} cannot be sent: send tensors, arrays, modules, numbers or containers of them"
    )


class Ledger:
    """Totals of a cell so far.

    Attributes:
        down, up: kind -> bytes, from the server and to it.
        samples: images of their own that clients read inside ``train`` and ``map``, counted once per use.
        flops: floating-point operations of the layers that ran there, forward and backward.
        client_seconds, server_seconds: time inside ``train`` and ``map``, and the rest of the steps.
        stage_seconds: the same time by the stages that the algorithm names.
    """

    def __init__(self, device: torch.device) -> None:
        self._clock = Clock(device)
        self._spans: list[tuple[Mark, Mark]] = []
        self.down: Counter[str] = Counter()
        self.up: Counter[str] = Counter()
        self.samples = 0
        self.flops = 0
        self.client_seconds = 0.0
        self.server_seconds = 0.0
        self.stage_seconds: dict[str, float] = {}

    def counts(self) -> dict[str, Any]:
        """Return what is the same on every machine."""
        return {
            "bytes_down": dict(sorted(self.down.items())),
            "bytes_up": dict(sorted(self.up.items())),
            "samples": self.samples,
            "flops": self.flops,
        }

    def times(self) -> dict[str, float]:
        """Return what differs from run to run, in seconds."""
        stages = {f"seconds/{stage}": seconds for stage, seconds in sorted(self.stage_seconds.items())}
        return {"client_seconds": self.client_seconds, "server_seconds": self.server_seconds, **stages}

    def state(self) -> dict[str, Any]:
        """Return everything a checkpoint needs."""
        times = {"client_seconds": self.client_seconds, "server_seconds": self.server_seconds}
        return {**self.counts(), **times, "stage_seconds": dict(self.stage_seconds)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.down, self.up = Counter(state["bytes_down"]), Counter(state["bytes_up"])
        self.samples, self.flops = state["samples"], state["flops"]
        self.client_seconds, self.server_seconds = state["client_seconds"], state["server_seconds"]
        self.stage_seconds = dict(state.get("stage_seconds", {}))  # a checkpoint may be older

    @contextmanager
    def client_time(self) -> Iterator[None]:
        """Charge the block to the clients."""
        start = self._clock.mark()
        try:
            yield
        finally:
            self._spans.append((start, self._clock.mark()))

    def count(self, *, samples: int = 0, flops: int = 0) -> None:
        """Add work of a client."""
        self.samples += samples
        self.flops += flops

    @contextmanager
    def step_time(self, stage: str | None = None) -> Iterator[None]:
        """Charge the block to the server, less what the clients spent in it. Reads the device's clock at the end.

        The whole counts for ``stage`` too, if that is named.
        """
        start = self._clock.mark()
        yield
        whole = self._clock.seconds(start, self._clock.mark())
        clients = sum(self._clock.seconds(*span) for span in self._spans)
        self._spans.clear()
        self.client_seconds += clients
        self.server_seconds += whole - clients
        if stage is not None:
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + whole
