"""The conformance suite's command-line options, a pytest plugin: pytest reads no conftest of a ``--pyargs`` package."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--algorithm`` and ``--plugin``."""
    group = parser.getgroup("mosaic_bench conformance")
    group.addoption("--algorithm", action="append", help="test this algorithm only (may be repeated; default: all)")
    group.addoption("--plugin", action="append", type=Path, help="a Python file that registers algorithms")
