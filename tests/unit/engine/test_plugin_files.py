"""Files given with --plugin: each is imported once, and none hides another."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import forget_plugin

from mosaic_bench.api import ALGORITHMS
from mosaic_bench.engine.algorithms import load_plugins
from mosaic_bench.errors import UserError

TEXT = """
from baselines.fedavg import FedAvg
from mosaic_bench.api import register


@register("NAME", paper="none")
class Mine(FedAvg):
    pass
"""


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Path]]:
    """Two files of one name, each with an algorithm of its own."""
    found = [tmp_path / name / "same_name.py" for name in ("first", "second")]
    for file in found:
        file.parent.mkdir()
        file.write_text(TEXT.replace("NAME", file.parent.name))
    yield found
    forget_plugin("same_name")


def test_a_file_is_imported_once_however_it_is_called(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files[0].parent)
    load_plugins([files[0], Path("same_name.py"), Path("../first/same_name.py")])
    assert ALGORITHMS["first"].__name__ == "Mine"


def test_a_file_with_the_name_of_another_is_refused(files: list[Path]) -> None:
    message = f"--plugin {files[1]}: {files[0]} has the same name; rename one of them"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        load_plugins(files)
    assert "second" not in ALGORITHMS
