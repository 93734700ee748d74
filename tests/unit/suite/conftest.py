"""Loading suite files that tests write."""

from pathlib import Path

import pytest
from small_suite import SMALL, Load

from mosaic_bench.suite import Suite, load_suite


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write ``suite.yaml`` in an empty working directory and load it, so that messages begin with ``suite.yaml:``."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str = SMALL, sets: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> Suite:
        Path("suite.yaml").write_text(text, encoding="utf-8")
        return load_suite(Path("suite.yaml"), sets, only)

    return write_and_load
