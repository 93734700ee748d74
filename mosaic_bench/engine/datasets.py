"""The data sets of one command, each looked for and opened once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mosaic_bench.data import Dataset, check_present, open_dataset


class Datasets:
    """Data sets found in the given directories. Opening one checks its whole content, so it is done once.

    Args:
        directories: where data sets are looked for, first match wins.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = list(directories)
        self.open = cache(self._open)
        self.missing = cache(self._missing)
        self.in_common = cache(self._in_common)

    def _open(self, name: str) -> Dataset:
        return open_dataset(name, self.directories)

    def _in_common(self, name: str, other: str) -> int:
        """How many training images of ``other`` are training images of ``name`` too, to the last pixel."""
        own = {hash(image.tobytes()) for image in self.open(name).train.images}
        return sum(hash(image.tobytes()) in own for image in self.open(other).train.images)

    def _missing(self, name: str) -> str | None:
        """Why the data set can't be used, in one sentence; None when it is there."""
        return check_present(name, self.directories)
