"""One suite computed with other kernels than this machine's best: what its numbers differ by there is rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mosaic_bench.errors import UserError
from mosaic_bench.store import Store

_PROBES = tuple(
    {"ATEN_CPU_CAPABILITY": torch, "ONEDNN_MAX_CPU_ISA": onednn}
    for torch, onednn in (
        ("default", "SSE41"),
        ("default", "AVX2"),
        ("avx2", "SSE41"),
        ("avx2", "AVX"),
        ("avx2", "AVX2"),
    )
)
"""Environment variables, which torch and oneDNN read when they start."""


def run_probes(suite: Path, name: str, options: Sequence[str], scratch: Path) -> Iterator[Store]:
    """Run a suite once per probe, each in a process of its own.

    Args:
        suite, name: its file and name.
        options: of ``run``.
        scratch: a folder for the results.

    Raises:
        UserError: a probe failed.
    """
    for number, variables in enumerate(_PROBES):
        results = scratch / f"probe{number}"
        command = [sys.executable, "-m", "mosaic_bench", "run", str(suite), "--results", str(results), *options]
        ended = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
        if ended.returncode:
            raise UserError(f"{suite}: fails with {variables}:\n{ended.stderr or ended.stdout}")
        yield Store(results / name)
