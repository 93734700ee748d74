"""Run one cell of a store, and turn whatever happens into a state on disk."""

from __future__ import annotations

import traceback
from dataclasses import replace

from filelock import FileLock, Timeout

from mosaic_bench.engine.cell_run import CellRun, Diverged, run_cell
from mosaic_bench.errors import Unsupported, UserError
from mosaic_bench.store import CellFolder, State

_LOCK_PATIENCE = 5.0  # seconds; a child whose parent was killed needs a moment to go


def execute(folder: CellFolder, how: CellRun) -> State:
    """Run a cell unless another process holds it; every exception becomes a state with a message and a log entry."""
    try:
        with FileLock(folder.lock, timeout=_LOCK_PATIENCE):
            return _guarded(folder, how)
    except Timeout:
        return State.RUNNING


def _guarded(folder: CellFolder, how: CellRun) -> State:
    try:
        return run_cell(folder, how)
    except Unsupported as reason:
        return _settle(folder, State.UNSUPPORTED, str(reason))
    except Diverged as reason:
        return _settle(folder, State.DIVERGED, str(reason))
    except UserError as reason:
        return _settle(folder, State.FAILED, str(reason))
    except Exception as error:
        with folder.log.open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        return _settle(folder, State.FAILED, f"{type(error).__name__}: {error} (traceback in {folder.log})")


def _settle(folder: CellFolder, state: State, message: str) -> State:
    folder.set_status(replace(folder.status(), state=state, message=message))
    return state
