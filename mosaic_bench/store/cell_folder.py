"""The folder of one cell: what it is, how far it got, and what came out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from mosaic_bench.store.atomic import replace_file, replace_json


class State(str, Enum):
    """Where a cell stands. ``stale`` is how a done cell shows once its sources have changed; it is not stored."""

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
    step, ``correct.bin`` which test images the last step got right, ``env.json`` where it ran, ``log.txt`` what it
    printed, and ``checkpoint`` the state to resume from while it is unfinished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint"
        self.log = path / "log.txt"
        self.lock = path / ".lock"
        self.prefixes = path.parent.parent / "prefixes"

    @property
    def key(self) -> str:
        """The cell's key, which names its folder."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """True once the cell was described."""
        return (self.path / "cell.json").exists()

    def describe(self, cell: dict[str, Any]) -> None:
        """Write what the cell is."""
        self.path.mkdir(parents=True, exist_ok=True)
        replace_json(self.path / "cell.json", cell)

    def description(self) -> dict[str, Any]:
        """Read what the cell is."""
        return dict(json.loads((self.path / "cell.json").read_text(encoding="utf-8")))

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write where and with what the cell ran."""
        replace_json(self.path / "env.json", environment)

    def environment(self) -> dict[str, Any]:
        """Read where and with what the cell ran; empty when it never did."""
        file = self.path / "env.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    def status(self) -> Status:
        """Read the state; a folder without one is planned."""
        try:
            stored = json.loads((self.path / "status.json").read_text(encoding="utf-8"))
            return Status(**{**stored, "state": State(stored["state"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return Status()

    def set_status(self, status: Status) -> None:
        """Write the state."""
        replace_json(self.path / "status.json", {**asdict(status), "state": status.state.value})

    def steps(self) -> list[dict[str, Any]]:
        """Read the evaluated steps; a torn last line is left out."""
        return _whole_lines(self.path / "steps.jsonl")

    def append_step(self, record: dict[str, Any]) -> None:
        """Append one evaluated step and sync it to disk."""
        with (self.path / "steps.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def keep_steps_until(self, step: int) -> None:
        """Drop lines after ``step`` and a torn last line: they are earned again after a resume."""
        self.replace_steps([record for record in self.steps() if record["step"] <= step])

    def replace_steps(self, records: Sequence[dict[str, Any]]) -> None:
        """Write the evaluated steps anew."""
        text = "".join(json.dumps(record) + "\n" for record in records)
        replace_file(self.path / "steps.jsonl", lambda file: _write(file, text.encode()))

    def note(self, sentence: str) -> None:
        """Add a line to the log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(sentence + "\n")

    def write_correct(self, packed: bytes) -> None:
        """Write the packed per-image correctness of the last step."""
        replace_file(self.path / "correct.bin", lambda file: _write(file, packed))

    def read_correct(self) -> bytes:
        """Read the packed per-image correctness of the last step."""
        return (self.path / "correct.bin").read_bytes()


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    records = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
