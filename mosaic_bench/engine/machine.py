"""What this machine can do for a benchmark: devices, cores, and whether bf16 pays."""

from __future__ import annotations

import time

import torch
from torch import nn

_REPEATS = 3


def devices() -> list[str]:
    """Return a line per GPU with its memory; none on a machine without."""
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [f"cuda:{i} {each.name}, {each.total_memory / 2**30:.0f} GiB" for i, each in enumerate(found)]


def bf16_speedup(device: torch.device) -> float:
    """Return how many times as fast as fp32 a convolution's forward and backward pass is under bf16 autocast."""
    layer = nn.Conv2d(64, 64, 3, padding=1).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(32, 64, 16, 16, device=device).to(memory_format=torch.channels_last)
    seconds = {enabled: min(_pass(layer, images, enabled) for _ in range(_REPEATS)) for enabled in (False, True)}
    return seconds[False] / seconds[True]


def _pass(layer: nn.Module, images: torch.Tensor, bf16: bool) -> float:
    began = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        loss = layer(images).float().square().mean()
    loss.backward()
    float(loss.detach())  # waits for the device
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - began
