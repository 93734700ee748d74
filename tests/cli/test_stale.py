"""Cells whose sources have changed are stale; verify clears them when their bits agree, and names what differs."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from calls import Call
from runs import mosaic

from mosaic_bench.engine.rerun import forget
from mosaic_bench.store import CellFolder, State, Store, shown_state
from mosaic_bench.store.sources import algorithm_files, source_digest

PLUGIN = '''
"""Rounds of averaging that wander off."""

from mosaic_bench.api import Algorithm, Stage, register


@register("wander", paper="none")
class Wander(Algorithm):
    """Two rounds that others may share, then others."""

    @classmethod
    def stages(cls, params, rounds, cohort):
        return [Stage(Wander, "rounds", 2, keeps=("server",))]

    def setup(self):
        self.server = self.fed.model()

    def step(self, t):
        lr = 0.1 if t < 2 else 0.05
        self.fed.average_(self.server, self.fed.train(self.fed.broadcast(self.server, self.fed.cohort(t)), lr=lr))
'''

SUITE = """\
suite: age
grid: {algorithm: [wander, fedavg]}
dataset: {name: digits, train: 200, test: 50}
partition: iid
models: mlp
federation: {clients: 2, rounds: 4}
local: {steps: 2, batch: 8}
run: {isolation: none}
"""


class Aged:
    """A finished suite, and the plugin that one of its cells came from."""

    def __init__(self, path: Path) -> None:
        self.plugin, self.suite, self.results = path / "wander.py", path / "age.yaml", path / "results"
        self.plugin.write_text(PLUGIN)
        self.suite.write_text(SUITE)
        self.done = mosaic("run", self.suite, "--plugin", self.plugin, "--results", self.results)
        assert self.done.returncode == 0, self.done.stderr

    def cell(self, name: str) -> CellFolder:
        cells = Store(self.results / "age").cells()
        return next(cell for cell in cells if cell.description()["cell"]["algorithm"]["name"] == name)

    def edit(self, old: str, new: str) -> None:
        text = self.plugin.read_text()
        assert old in text
        self.plugin.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Aged:
    return Aged(tmp_path_factory.mktemp("aged"))


@pytest.fixture(autouse=True)
def as_it_was(aged: Aged) -> None:
    aged.plugin.write_text(PLUGIN)


def test_words_and_layout_make_nothing_stale_but_code_does(aged: Aged) -> None:
    aged.edit('"""Rounds of averaging that wander off."""', '"""Other words."""  # and a comment')
    assert shown_state(aged.cell("wander")) is not State.STALE
    aged.edit("0.05", "0.06")
    assert shown_state(aged.cell("wander")) is State.STALE
    assert shown_state(aged.cell("fedavg")) is State.DONE
    aged.plugin.write_text("no longer Python(")
    assert shown_state(aged.cell("wander")) is State.STALE


def test_the_same_bytes_are_never_stale_though_another_python_may_write_other_syntax_trees(aged: Aged) -> None:
    cell = aged.cell("wander")
    environment = cell.environment()
    elsewhere = environment["sources"] | {"algorithm": "another", "harness": "other"}
    try:
        cell.write_environment(environment | {"sources": elsewhere})
        assert shown_state(cell) is not State.STALE
        aged.edit('"""Rounds of averaging that wander off."""', '"""Other words."""')
        assert shown_state(cell) is State.STALE
    finally:
        cell.write_environment(environment)


def test_every_verb_says_so(aged: Aged, call: Call) -> None:
    aged.edit("0.05", "0.06")
    status = call("status", aged.suite, "--results", aged.results).out
    assert "1 stale, 1 done" in status
    assert [line.split()[2] for line in status.splitlines() if " wander " in line] == ["stale"]
    assert ": stale" in call("show", aged.cell("wander").key, "--results", aged.results).out.splitlines()[0]
    assert (
        "[a] stale: its algorithm or the harness has changed since"
        in call("tables", aged.suite, "--results", aged.results).out
    )


def test_a_file_that_is_not_here_is_not_judged(aged: Aged) -> None:
    aged.plugin.unlink()
    assert shown_state(aged.cell("wander")) is not State.STALE


def test_verify_clears_what_still_comes_out_the_same(aged: Aged) -> None:
    cell = aged.cell("wander")
    before = cell.steps()
    aged.edit("0.1 if t < 2 else 0.05", "0.05 if t >= 2 else 0.1")
    assert shown_state(cell) is State.STALE
    done = mosaic("verify", cell.key, "--results", aged.results)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{cell.key}: the same to the last bit in evaluated steps 1, 2, 3; not stale\n"
    assert shown_state(cell) is not State.STALE
    assert cell.steps() == before
    assert cell.environment()["verified"]["steps"] == [1, 2, 3]


def test_verify_looks_beyond_the_shared_stages_and_names_the_numbers_that_differ(aged: Aged) -> None:
    cell = aged.cell("wander")
    aged.edit("else 0.05", "else 0.06")
    done = mosaic("verify", cell.key[:8], "--results", aged.results)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    loss = cell.steps()[2]["metrics"]["loss/train"]
    assert lines
    assert all(line.startswith(f"{cell.key}: step 3: ") for line in lines)
    assert not any("loss/train" in line and f"was {loss} and" not in line for line in lines)
    assert shown_state(cell) is State.STALE


def test_verify_says_when_the_code_fails_or_the_place_is_another(aged: Aged, call: Call) -> None:
    cell = aged.cell("wander")
    aged.edit("lr = 0.1", "lr = 1 / 0 * 0.1")
    done = mosaic("verify", cell.key, "--results", aged.results)
    assert (done.returncode, done.stdout) == (1, f"{cell.key}: it fails now: ZeroDivisionError: division by zero\n")
    other = aged.cell("fedavg")
    environment = other.environment()
    other.write_environment(environment | {"numeric": environment["numeric"] | {"torch": "1.0"}})
    ended = call("verify", other.key, "--results", aged.results)
    assert ended.code == 2
    assert "bits are comparable inside one numeric environment only; torch was 1.0 and is" in ended.err
    other.write_environment(environment)
    other.set_status(other.status().__class__(State.FAILED))
    ended = call("verify", other.key, "--results", aged.results)
    assert ended.code == 2
    assert "only a cell that is done can be verified; this one is failed" in ended.err


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("gone", {}, "there is no algorithm 'gone' here"),
        ("fedavg", {"gone": 1}, "algorithm 'fedavg': gone: Extra inputs are not permitted"),
    ],
)
def test_verify_says_what_is_not_here_any_more(
    aged: Aged, call: Call, tmp_path: Path, name: str, params: dict[str, int], message: str
) -> None:
    shutil.copytree(aged.results, tmp_path / "results")
    cell = Store(tmp_path / "results/age").cell(aged.cell("fedavg").key)
    cell.set_status(replace(cell.status(), state=State.DONE))
    described = cell.description()
    cell.describe(described | {"cell": described["cell"] | {"algorithm": {"name": name, "params": params}}})
    ended = call("verify", cell.key, "--results", tmp_path / "results")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


@pytest.mark.parametrize("state", [State.DONE, State.UNSUPPORTED, State.INTERRUPTED, State.FAILED])
def test_whatever_began_with_older_sources_starts_again(aged: Aged, tmp_path: Path, state: State) -> None:
    shutil.copytree(aged.results, tmp_path / "results")
    store = Store(tmp_path / "results/age")
    cells = {name: store.cell(aged.cell(name).key) for name in ("wander", "fedavg")}
    for cell in cells.values():
        cell.set_status(replace(cell.status(), state=state))
    aged.edit("0.05", "0.06")
    assert (shown_state(cells["wander"]) is State.STALE) == state.finished
    forget(cells.values(), "stale")
    assert {name: cell.status().state for name, cell in cells.items()} == {"wander": State.PLANNED, "fedavg": state}


def test_files_that_an_algorithm_imports_from_its_own_package_count(tmp_path: Path) -> None:
    package = tmp_path / "methods"
    (package / "deep").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "a.py": "import torch\nfrom methods.b import f\nfrom . import c\n",
        "b.py": "from .deep.d import g\n",
        "c.py": "",
        "deep/__init__.py": "",
        "deep/d.py": "import json\n",
        "unused.py": "",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    found = algorithm_files(package / "a.py")
    assert [file.relative_to(package).as_posix() for file in found] == [
        "a.py", "__init__.py", "b.py", "c.py", "deep/d.py",
    ]  # fmt: skip
    before = source_digest(found)
    (package / "deep/d.py").write_text("import json\nx = 1\n")
    assert source_digest(found) != before
