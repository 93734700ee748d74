"""Files that are either the old one or the new one, never half of each."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace_file(path: Path, write: Callable[[Path], None], scratch: Path | None = None) -> None:
    """Let ``write`` make a temporary file in ``scratch``, or beside ``path``, sync it, and rename it over ``path``.

    Whatever ``write`` raises leaves ``path`` as it was and no temporary file behind. The file gets ordinary
    permissions, so that others can read a shared results folder.
    """
    temporary = (scratch or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Atomically replace a text file."""
    replace_file(path, lambda temporary: write_content(temporary, text))


def replace_json(path: Path, value: Any) -> None:
    """Atomically replace a JSON file; floats keep every digit."""
    replace_text(path, to_json(value))


def to_json(value: Any) -> str:
    """Return the text of a JSON file."""
    return json.dumps(value, indent=1, allow_nan=True) + "\n"


def write_content(path: Path, content: str | bytes) -> None:
    """Write a whole file; text in the encoding of all of them."""
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
