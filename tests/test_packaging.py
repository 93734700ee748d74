"""The wheel and the source distribution hold what an installed package needs."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import mosaic_bench

ROOT = Path(__file__).parents[1]
_PARTS = ["mosaic_bench", "baselines", "suites", "docs", "examples"]
_FILES = ["pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"]
_BUILD = "from setuptools import build_meta as b; b.build_wheel({0!r}); b.build_sdist({0!r})"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions, built offline from a copy of the tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in _PARTS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in _FILES:
        shutil.copy(ROOT / name, tree)
    done = subprocess.run([sys.executable, "-c", _BUILD.format(str(out))], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def _files(*parts: str) -> set[str]:
    found = (path for part in parts for path in (ROOT / part).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_module_suite_and_template_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == _files("mosaic_bench", "baselines", "suites")


def test_the_source_distribution_adds_documentation_and_examples(built: Path) -> None:
    [archive] = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {member.name.partition("/")[2] for member in file.getmembers() if member.isfile()}
    assert _files(*_PARTS) | set(_FILES) <= names


def test_an_installed_wheel_finds_its_suites_from_anywhere(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    for named in ("quickstart", "suites/quickstart.yaml", "ci/fmnist"):
        command = [sys.executable, "-m", "mosaic_bench", "check", named]
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(str(tmp_path / "site" / "suites"))


def test_the_citation_file_speaks_of_this_version() -> None:
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == mosaic_bench.__version__
    assert f'version = "{mosaic_bench.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
