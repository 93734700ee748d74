"""Running the program as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import exact

from mosaic_bench.store import Store

COMMAND = [sys.executable, "-m", "mosaic_bench"]

_WITHOUT_TORCH = """
import sys
sys.argv[0] = "mosaic_bench"
from mosaic_bench.cli import main
try:
    main()
finally:
    assert "torch" not in sys.modules
"""
WITHOUT_TORCH = [sys.executable, "-c", _WITHOUT_TORCH]  # fails where a verb has imported torch


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests, on a wide terminal."""
    return os.environ | {"COLUMNS": "200"} | more


def mosaic(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, env=environment(**more)
    )


def processes_with(mark: str) -> list[int]:
    """Processes that were started with ``STARTED_FOR=mark`` in their environment, and their descendants."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"STARTED_FOR={mark}".encode() in variables:
            found.append(int(entry.parent.name))
    return found


def numbers(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Every evaluated step of every cell below a results folder, times and memory aside."""
    stores = [Store(path) for path in results.glob("*") if path.is_dir()]
    return {cell.key: exact(cell.steps()) for store in stores for cell in store.cells()}


def states(results: Path) -> dict[str, str]:
    """The state of every cell below a results folder."""
    stores = [Store(path) for path in results.glob("*") if path.is_dir()]
    return {cell.key: cell.status().state.value for store in stores for cell in store.cells()}
