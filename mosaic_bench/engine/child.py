"""A child process: one cell, so that a crash, a kill or a hang costs one cell.

The parent keeps the write end of the child's standard input open and reads one JSON line per event from its standard
output; the end of the input means that the parent is gone, and the child goes with it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import IO, Any


def command(cell: Path, directories: list[Path], device: str, checkpoint_every: int, plugins: list[Path]) -> list[str]:
    """Return the command line that runs one cell in a child."""
    lists = [("--data", directories), ("--plugin", plugins)]
    flags = [part for flag, paths in lists for path in paths for part in (flag, str(path))]
    every = ["--checkpoint-every", str(checkpoint_every)]
    return [sys.executable, "-m", "mosaic_bench.engine.child", str(cell), "--device", device, *every, *flags]


def main() -> int:
    """Run the cell that the command line names; exit 0 unless told to stop (130)."""
    arguments = _parse()
    events = _redirect_output(arguments.cell / "log.txt")
    _die_with_parent()
    stop = _stop_on_signal()

    import torch  # after the watch on the parent: importing it takes a second

    from mosaic_bench.engine.algorithms import load_plugins
    from mosaic_bench.engine.cell_run import CellRun
    from mosaic_bench.engine.execute import execute
    from mosaic_bench.store import CellFolder, State

    def progress(step: int, steps: int, metrics: dict[str, float]) -> None:
        _send(events, {"step": step, "steps": steps, "metrics": metrics})

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    load_plugins(arguments.plugin)
    how = CellRun(arguments.data, torch.device(arguments.device), arguments.checkpoint_every, progress, stop.is_set)
    state = execute(CellFolder(arguments.cell), how)
    _send(events, {"state": state.value})
    return 130 if state is State.INTERRUPTED else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run one cell (started by `mosaic_bench run`).")
    parser.add_argument("cell", type=Path)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--plugin", type=Path, action="append", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--checkpoint-every", type=int, default=10)
    return parser.parse_args()


def _redirect_output(log: Path) -> IO[str]:
    """Keep standard output for events; what the cell prints goes to its log."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    return events


def _send(events: IO[str], event: dict[str, Any]) -> None:
    events.write(json.dumps(event) + "\n")
    events.flush()


def _die_with_parent() -> None:
    """End this process as soon as the parent's end of standard input closes, however the parent ended."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _stop_on_signal() -> threading.Event:
    """First signal: finish the step, checkpoint, leave. Second: leave at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return stop


if __name__ == "__main__":
    sys.exit(main())
