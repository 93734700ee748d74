"""Whether bf16 pays on a device: what ``doctor`` advises, and what ``run`` warns of."""

from __future__ import annotations

from collections.abc import Iterable

_PAYS, _HURTS = 1.2, 0.8  # times as fast as fp32


def bf16_advice(times: float) -> str:
    """What to do where bf16 is ``times`` as fast as fp32; empty where it makes no difference."""
    if times > _PAYS:
        return "local.precision: bf16 pays"
    return "keep local.precision: fp32" if times < _HURTS else ""


def bf16_warning(precisions: Iterable[str], device: str) -> str:
    """Return what to know before cells of these precisions run; empty where nothing is slow.

    Processors without bf16 instructions emulate it. One convolution is timed, for a second at most.
    """
    if "bf16" not in precisions:
        return ""
    import torch

    from mosaic_bench.engine.machine import bf16_speedup

    times = bf16_speedup(torch.device(device))
    if times >= _HURTS:
        return ""
    return (
        f"local.precision: bf16 is slow on {device} here: a convolution takes {1 / times:.2g} times as long as fp32, "
        "a cell can take more; with local.precision=fp32 these are other cells, with other numbers"
    )
