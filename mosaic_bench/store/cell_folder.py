"""The folder of one cell: what it is, how far it got, and what came out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from mosaic_bench.errors import UserError
from mosaic_bench.store.atomic import replace_file, to_json, write_content
from mosaic_bench.store.claim import Claim

_DAMAGED = "its steps.jsonl is damaged or missing; run the suite again to rebuild it"


class State(str, Enum):
    """Where a cell stands. ``stale`` is how a finished cell shows once its sources have changed; it is not stored."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    DIVERGED = "diverged"
    TIMEOUT = "timeout"
    OOM = "oom"
    INTERRUPTED = "interrupted"
    STALE = "stale"

    @property
    def finished(self) -> bool:
        """True when running the cell again would change nothing."""
        return self in {State.DONE, State.UNSUPPORTED}

    @property
    def failed(self) -> bool:
        """True when something went wrong that running the cell again may not mend."""
        return self in {State.FAILED, State.DIVERGED, State.TIMEOUT, State.OOM}


@dataclass(frozen=True)
class Status:
    """A cell's state.

    Attributes:
        step, steps: steps done and steps in all.
        message: one sentence for a cell that is not plainly done.
        correct: names of the predictors whose per-image correctness ``correct.bin`` holds, one row each.
        images: test images per row of ``correct.bin``.
    """

    state: State = State.PLANNED
    step: int = 0
    steps: int | None = None
    message: str = ""
    correct: list[str] = field(default_factory=list)
    images: int = 0


class CellFolder:
    """Reads and writes one cell's folder.

    ``cell.json`` says what the cell is, ``status.json`` how far it is, ``steps.jsonl`` holds one line per evaluated
    step, ``trace.json`` what the gate compares of the first steps, ``correct.bin`` which test images the last step got
    right, ``figures`` arrays to draw, ``env.json`` where it ran, ``log.txt`` what it printed, and ``checkpoint`` the
    state to resume from while it is unfinished, with the one before it.

    Args:
        path: the folder.
        claim: the writer's right to write. Every write raises ``ClaimLost`` once it is lost. Without one, nobody else
            may be writing.
    """

    def __init__(self, path: Path, claim: Claim | None = None) -> None:
        self.path = path
        self._claim = claim
        self.checkpoint = path / "checkpoint"
        self.previous_checkpoint = path / "checkpoint.previous"
        self.log = path / "log.txt"
        self.prefixes = path.parent.parent / "prefixes"

    @property
    def key(self) -> str:
        """The cell's key, which names its folder."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """True once the cell was described in a way that can be read."""
        try:
            return bool(self.description())
        except (OSError, UserError):
            return False

    @property
    def held(self) -> bool:
        """True while a process that is not known to be dead holds the cell, from before it says that it runs."""
        pulse = Claim.pulse(self.path)
        return pulse is not None and not pulse.dead

    def describe(self, cell: dict[str, Any]) -> None:
        """Write what the cell is."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._replace("cell.json", to_json(cell))

    def description(self) -> dict[str, Any]:
        """Read what the cell is.

        Raises:
            UserError: the file is damaged or missing.
        """
        file = self.path / "cell.json"
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError) as error:
            raise UserError(f"{file}: cannot be read ({error}); run the suite again to rebuild it") from error

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write where and with what the cell ran."""
        self._replace("env.json", to_json(environment))

    def environment(self) -> dict[str, Any]:
        """Read where and with what the cell ran; empty when it never did, or the file is damaged."""
        try:
            return dict(json.loads((self.path / "env.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def status(self) -> Status:
        """Read the state.

        A folder without one is planned, one that nobody holds is not running, and one whose last evaluated step cannot
        be read is not done.
        """
        return self.outcome()[0]

    def outcome(self) -> tuple[Status, list[dict[str, Any]]]:
        """Read the state and the evaluated steps, each once."""
        status = self._present_status()
        steps = self.steps()
        if status.state is State.DONE and status.steps is not None and (not steps or steps[-1]["step"] != status.steps):
            status = replace(status, state=State.INTERRUPTED, step=0, message=_DAMAGED)
        return status, steps

    def _present_status(self) -> Status:
        status = self._stored_status()
        if status.state is State.RUNNING and self._claim is None and not self.held:
            status = self._stored_status()  # its owner may have finished it just before letting go
            if status.state is State.RUNNING:
                return replace(status, state=State.INTERRUPTED, message="its run was killed; run the suite again")
        return status

    def set_status(self, status: Status) -> None:
        """Write the state."""
        self._replace("status.json", to_json({**asdict(status), "state": status.state.value}))

    def status_version(self) -> tuple[int, int] | None:
        """Return what differs after every write of the state."""
        try:
            stat = (self.path / "status.json").stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def steps(self) -> list[dict[str, Any]]:
        """Read the evaluated steps; a torn last line is left out."""
        return _whole_lines(self.path / "steps.jsonl")

    def append_step(self, record: dict[str, Any]) -> None:
        """Append one evaluated step and sync it to disk."""
        with (self.path / "steps.jsonl").open("a", encoding="utf-8") as file:
            self._verify()  # with the file open: a new owner begins by replacing it, and this one leads nowhere then
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def keep_steps_until(self, step: int) -> None:
        """Drop lines after ``step`` and a torn last line: they are earned again after a resume."""
        self.replace_steps([record for record in self.steps() if record["step"] <= step])

    def replace_steps(self, records: Sequence[dict[str, Any]]) -> None:
        """Write the evaluated steps anew."""
        self._replace("steps.jsonl", "".join(json.dumps(record) + "\n" for record in records))

    def trace(self) -> dict[str, Any]:
        """Read what was traced of the first steps: ``partition``, a digest, and ``steps``, a list of records.

        Both are empty where the trace is damaged or missing.
        """
        empty: dict[str, Any] = {"partition": "", "steps": []}
        try:
            return empty | json.loads((self.path / "trace.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, TypeError):
            return empty

    def write_trace(self, trace: dict[str, Any]) -> None:
        """Write what was traced of the first steps."""
        self._replace("trace.json", to_json(trace))

    def note(self, sentence: str) -> None:
        """Add a line to the log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(sentence + "\n")

    def write_correct(self, packed: bytes) -> None:
        """Write the packed per-image correctness of the last step."""
        self._replace("correct.bin", packed)

    def read_correct(self) -> bytes:
        """Read the packed per-image correctness of the last step."""
        return (self.path / "correct.bin").read_bytes()

    def write_figure(self, name: str, content: bytes) -> None:
        """Write ``figures/NAME.npz``, arrays that a figure can be drawn from."""
        (self.path / "figures").mkdir(exist_ok=True)
        self._replace(f"figures/{name}.npz", content)

    def write_checkpoint(self, content: bytes) -> None:
        """Write the state to resume from, and keep the one before it."""
        self._verify()
        if self.checkpoint.exists():
            os.replace(self.checkpoint, self.previous_checkpoint)
        self._replace("checkpoint", content)

    def fall_back(self) -> None:
        """Give up the newest checkpoint for the one before it."""
        self._verify()
        os.replace(self.previous_checkpoint, self.checkpoint)

    def drop_checkpoints(self) -> None:
        """Remove what a finished cell does not need."""
        self._verify()
        self.checkpoint.unlink(missing_ok=True)
        self.previous_checkpoint.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a process that died right after it finished the cell has left: its claim, and checkpoints."""
        pulse = Claim.pulse(self.path)
        claim = Claim.take(self.path) if pulse is not None and pulse.dead else None
        if claim is not None:
            CellFolder(self.path, claim).drop_checkpoints()
            claim.release()

    def forget(self) -> None:
        """Make the cell planned again: its next run starts from the first step. Safe to be cut at any point."""
        self.drop_checkpoints()
        self.set_status(Status())
        for name in ("steps.jsonl", "trace.json", "correct.bin"):
            (self.path / name).unlink(missing_ok=True)
        for figure in (self.path / "figures").glob("*.npz"):
            figure.unlink(missing_ok=True)

    def _stored_status(self) -> Status:
        try:
            stored = json.loads((self.path / "status.json").read_text(encoding="utf-8"))
            return Status(**{**stored, "state": State(stored["state"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return Status()

    def _verify(self) -> None:
        if self._claim is not None:
            self._claim.verify()

    def _replace(self, name: str, content: str | bytes) -> None:
        put: Callable[[Path, Callable[[Path], None]], None] = self._claim.replace if self._claim else replace_file
        put(self.path / name, lambda file: write_content(file, content))


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    try:
        lines = file.read_bytes().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    try:
        records = list(json.loads(f"[{','.join(lines)}]"))  # at once: a report reads ten thousand of these files
        if all(map(_is_record, records)):
            return records
    except ValueError:
        pass
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not _is_record(record):
            break
        records.append(record)
    return records


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("step"), int)
