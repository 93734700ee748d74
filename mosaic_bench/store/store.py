"""A results folder: the suite that was asked for, and its cells."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mosaic_bench.errors import UserError
from mosaic_bench.store.atomic import replace_file, replace_json, write_content
from mosaic_bench.store.cell_folder import CellFolder

_SUITE_KEYS = {"suite", "title", "axes", "titles", "report", "cells"}


class StoreError(UserError):
    """A results folder that can't be read or written."""


class Store:
    """The results of one suite.

    ``suite.json`` lists the grid as it was last run (coordinates and keys), ``cells/KEY`` holds each cell,
    ``prefixes`` what cells share while they run, ``tables``, ``plots`` and ``report.html`` what was made of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prefixes = path / "prefixes"

    def cell(self, key: str) -> CellFolder:
        """Return the folder of one cell, whether or not it exists yet."""
        return CellFolder(self.path / "cells" / key)

    def cells(self) -> Iterator[CellFolder]:
        """Yield the cells on disk, in order of key."""
        for path in sorted((self.path / "cells").glob("*")):
            if (path / "cell.json").exists():
                yield CellFolder(path)

    def write_suite(self, suite: dict[str, Any]) -> None:
        """Write the grid that the tables are made from."""
        replace_json(self.path / "suite.json", suite)

    def suite(self) -> dict[str, Any]:
        """Read the grid that the tables are made from.

        Raises:
            StoreError: nothing was run here, or the file is damaged.
        """
        file = self.path / "suite.json"
        try:
            suite = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(f"{self.path}: no results here; run the suite first") from error
        except (OSError, ValueError) as error:
            raise StoreError(f"{file}: cannot be read ({error}); run the suite again to rebuild it") from error
        if not isinstance(suite, dict) or not suite.keys() >= _SUITE_KEYS:
            raise StoreError(f"{file}: not the list of a suite's cells; run the suite again to rebuild it")
        return suite

    def write_output(self, name: str, content: str | bytes) -> Path:
        """Write something that was made of the results, such as ``tables/main.tex``, and return its file.

        Raises:
            StoreError: the folder does not take it.
        """
        file = self.path / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, lambda temporary: write_content(temporary, content))
        except OSError as error:
            raise StoreError(f"{file}: cannot be written ({error.strerror})") from error
        return file

    def check_writable(self) -> None:
        """Create the folder and prove that it takes files.

        Raises:
            StoreError: it does not.
        """
        try:
            (self.path / "cells").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot write results here ({error.strerror}); choose another folder with --results"
            ) from error
