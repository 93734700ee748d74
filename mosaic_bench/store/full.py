"""A full disk ends a run instead of failing its cells one by one."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mosaic_bench.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT}


class DiskFull(UserError):  # noqa: N818 - named after what it reports
    """There is no space, or no quota, to write results."""


@contextmanager
def reporting_a_full_disk(folder: Path) -> Iterator[None]:
    """Turn the system's error into a sentence that says what to do.

    Raises:
        DiskFull: a write found no space.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"{folder}: cannot be written ({error.strerror}); make room and run the suite again: "
            "finished cells are kept, the others go on from their checkpoints"
        ) from error
