"""Where a result came from: code, versions, machine, and the numeric environment that its last bits depend on."""

from __future__ import annotations

import inspect
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mosaic_bench.api import Algorithm
from mosaic_bench.revision import revision
from mosaic_bench.store import algorithm_files, describe_sources


def numeric_environment(device: torch.device) -> dict[str, Any]:
    """Return what bit-identity depends on: two runs agree to the last bit when these are equal."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # its own class would not load from a checkpoint
    }


def provenance(device: torch.device, algorithm: type[Algorithm], command: list[str]) -> dict[str, Any]:
    """Return everything that ``env.json`` records."""
    return {
        "numeric": numeric_environment(device),
        "git": _git(),
        "versions": {name: version(name) for name in ("mosaic-bench", "torch", "numpy")}
        | {"python": platform.python_version()},
        "machine": {"system": platform.platform(), "processor": _processor(), "cuda": torch.version.cuda},
        "sources": sources_of(algorithm),
        "command": command,
    }


@cache
def sources_of(algorithm: type[Algorithm]) -> dict[str, Any]:
    """Return the digests of the sources that the algorithm's results depend on, as they were when first asked."""
    return describe_sources(algorithm_files(Path(inspect.getfile(algorithm))))


def _git() -> dict[str, Any] | None:
    """Revision of the checkout the package runs from, and whether it has uncommitted changes; None outside one."""
    found = revision()
    return None if found is None else {"revision": found[0], "dirty": found[1]}


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
