"""Reading the arrays that a cell left in its ``figures`` folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np


class UnreadableArrays(ValueError):  # noqa: N818 - named after what it reports
    """A file that holds no arrays, or not whole ones."""


def read_arrays(file: Path, kind: str) -> dict[str, np.ndarray] | None:
    """Return the arrays of an npz file by name; None when it holds another kind.

    Raises:
        UnreadableArrays: it can't be read.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            is_wanted = "kind" in archive and str(archive["kind"]) == kind
            return {name: archive[name] for name in archive.files} if is_wanted else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableArrays(f"{file}: cannot be read ({error})") from error
