"""Exceptions that the whole package shares, and how they hint at what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """Bad input. The message says what is wrong, where, and what to do; the command line prints it and exits with 2."""


class Unsupported(Exception):  # noqa: N818 - named after what it reports
    """A method cannot run in this cell. The cell shows n/a, with the one sentence carried here under the table."""


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the file system refuses into bad input.

    Raises:
        UserError: something inside raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` or the list of known names, ready to append to a message."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(known)}" if known else ""
