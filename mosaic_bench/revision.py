"""Which commit the package runs from."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parent


def revision() -> tuple[str, bool] | None:
    """Return the commit of the checkout that this package is part of, and whether tracked files differ from it.

    None outside a checkout; a package that is installed below somebody else's checkout belongs to no commit.
    """
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_PACKAGE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
