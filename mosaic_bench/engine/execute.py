"""Run one cell of a store, and turn whatever happens into a state on disk."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from mosaic_bench.engine.allocator import keep_freed_memory
from mosaic_bench.engine.cell_run import CellRun, Diverged, run_cell
from mosaic_bench.engine.memory import peak_bytes
from mosaic_bench.errors import Unsupported, UserError
from mosaic_bench.store import CellFolder, Claim, ClaimLost, DiskFull, State, reporting_a_full_disk


class TimedOut(Exception):  # noqa: N818 - named after what it reports
    """A cell took longer than ``run.timeout``."""


def execute(cell: Path, how: CellRun, expired: Collection[str] = ()) -> State:
    """Run a cell; every exception becomes a state with a message and a log entry.

    A cell that another process holds, or takes over meanwhile, is left to it: ``RUNNING``.

    Args:
        cell: its folder.
        expired: owners whose claim counts for nothing any more.

    Raises:
        DiskFull: results can't be written.
    """
    keep_freed_memory()
    with reporting_a_full_disk(cell):
        claim = Claim.take(cell, expired)
        if claim is None:
            return State.RUNNING
        folder = CellFolder(cell, claim)
        with claim.kept_alive(partial(peak_bytes, how.device)):
            done = folder.status().state
            try:
                return done if done.finished else _guarded(folder, how)
            except ClaimLost:
                return State.RUNNING


def _guarded(folder: CellFolder, how: CellRun) -> State:
    try:
        with reporting_a_full_disk(folder.path):
            return run_cell(folder, how)
    except (ClaimLost, DiskFull):
        raise
    except Unsupported as reason:
        return _settle(folder, State.UNSUPPORTED, str(reason))
    except Diverged as reason:
        return _settle(folder, State.DIVERGED, str(reason))
    except TimedOut as reason:
        return _settle(folder, State.TIMEOUT, str(reason))
    except UserError as reason:
        return _settle(folder, State.FAILED, str(reason))
    except Exception as error:
        with folder.log.open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        what = f"{type(error).__name__}: {error} (traceback in {folder.log})"
        if is_out_of_memory(error):
            return _settle(folder, State.OOM, f"out of memory; {in_use(peak_bytes(how.device))}; {what}")
        return _settle(folder, State.FAILED, what)


def is_out_of_memory(error: Exception) -> bool:
    """True for what Python, numpy, torch and the system raise when memory can't be had."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = ("can't allocate memory", "out of memory")  # of torch's CPU allocator, and of CUDA libraries
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def in_use(peak: int) -> str:
    """Say how much memory a process had used."""
    return f"{peak / 1e9:.1f} GB were in use at the most"


def took_too_long(timeout: float, where: str) -> str:
    """Say that a cell passed ``run.timeout`` seconds, and how far it was."""
    return f"took longer than run.timeout, {timeout:g} s; it was {where}"


def _settle(folder: CellFolder, state: State, message: str) -> State:
    folder.set_status(replace(folder.status(), state=state, message=message))
    return state
