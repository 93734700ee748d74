"""Calling the program's ``main`` in this process: as a user does, without a second import of torch for every call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

import pytest

from mosaic_bench.cli import main


class Ended(NamedTuple):
    """How a call ended and what it printed."""

    code: int
    out: str
    err: str


Call = Callable[..., Ended]


def make_call(capture: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs one command line."""

    def call(*arguments: object) -> Ended:
        capture.readouterr()
        with patch.object(sys, "argv", ["mosaic_bench", *map(str, arguments)]), pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return Ended(code if isinstance(code, int) else 0, *capture.readouterr())

    return call
