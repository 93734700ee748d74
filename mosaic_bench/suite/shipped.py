"""The suites that come with the package: the folder ``suites`` beside it, in a checkout and where it is installed."""

from __future__ import annotations

from pathlib import Path

import mosaic_bench
from mosaic_bench.errors import did_you_mean
from mosaic_bench.suite.errors import SuiteError

_FOLDER = Path(mosaic_bench.__file__).parents[1] / "suites"


def shipped_suites() -> list[str]:
    """Return the names of the suites that come with the package: ``quickstart``, ``ci/fmnist``, ..."""
    files = (file.relative_to(_FOLDER).with_suffix("").as_posix() for file in _FOLDER.rglob("*.yaml"))
    return sorted(name for name in files if name != "common")  # common.yaml is for others to extend


def find_suite(file: Path) -> Path:
    """Return the suite file that is meant: the file itself where there is one, else the shipped suite of that name.

    ``quickstart``, ``quickstart.yaml`` and ``suites/quickstart.yaml`` name the same shipped suite.

    Raises:
        SuiteError: there is neither.
    """
    if file.is_file():
        return file
    parts = file.with_suffix("").parts if file.suffix in {".yaml", ".yml"} else file.parts
    name = "/".join(parts[1:] if parts[:1] == ("suites",) else parts)
    if name in shipped_suites():
        return _FOLDER / f"{name}.yaml"
    raise SuiteError(f"{file}: there is no such file, and no suite of that name{did_you_mean(name, shipped_suites())}")
