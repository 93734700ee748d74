"""What each verb prints, over one small finished run."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import Call
from support import forget_plugin

from mosaic_bench import __version__
from mosaic_bench.store import State, Status, Store

Tiny = tuple[Path, Path, str]


@pytest.fixture
def store(tiny: Tiny) -> Store:
    return Store(tiny[1] / "tiny")


def test_a_piped_run_prints_one_plain_line_per_cell_and_the_table(tiny: Tiny) -> None:
    lines = tiny[2].splitlines()
    assert lines[0] == "A [tiny] suite: 8 cells, 0 done already"
    name = r"(fedavg|dense) · (iid|dirichlet\(alpha=0\.5\)) · seed [01]"
    cell = rf"\[[1-8]/8\] [0-9a-f]{{12}} done +\d+\.\d % +\d+\.\d s  {name}"
    assert [bool(re.fullmatch(cell, line)) for line in lines[1:9]] == [True] * 8
    assert [line.split()[0] for line in lines if line.strip().startswith(("FedAvg", "DENSE"))] == ["FedAvg", "DENSE"]
    assert "\x1b" not in tiny[2]
    assert max(len(line) for line in lines if "Accuracy" not in line and "LaTeX" not in line) <= 85


def test_a_run_that_is_done_repeats_nothing(tiny: Tiny, store: Store, call: Call) -> None:
    before = {cell.key: cell.path.joinpath("steps.jsonl").stat().st_mtime_ns for cell in store.cells()}
    ended = call("run", tiny[0], "--results", tiny[1])
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "A [tiny] suite: 8 cells, 8 done already"
    assert {c.key: c.path.joinpath("steps.jsonl").stat().st_mtime_ns for c in store.cells()} == before


def test_tables_are_written_as_latex_and_can_be_made_again(tiny: Tiny, store: Store, call: Call) -> None:
    file = store.path / "tables" / "main.tex"
    written = file.read_text()
    assert r"\textbf{" in written
    file.unlink()
    for argument in (tiny[0], "tiny", store.path):
        ended = call("tables", argument, "--results", tiny[1])
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines()[1:] == tiny[2].splitlines()[-len(ended.out.splitlines()) + 1 :]
    assert file.read_text() == written


def test_tables_of_a_file_follow_its_report_as_it_is_now_and_those_of_a_name_the_run(tiny: Tiny, call: Call) -> None:
    edited = tiny[0].with_name("tiny2.yaml")
    edited.write_text(tiny[0].read_text() + "report: {tables: [{name: main, caption: Edited since}]}\n")
    for argument, heading in ((edited, "Edited since"), (tiny[0], "A [tiny] suite"), ("tiny", "A [tiny] suite")):
        assert call("tables", argument, "--results", tiny[1]).out.splitlines()[1].startswith(heading)
    edited.write_text(edited.read_text().replace("seed: [0, 1]", "seed: [0, 1]\n  local.lr: [0.1]"))
    assert call("tables", edited, "--results", tiny[1]).out.splitlines()[1].startswith("A [tiny] suite")


def test_a_folder_that_has_a_suites_name_is_not_taken_for_its_results(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny").mkdir()
    assert call("status", "tiny", "--results", tiny[1]).out.splitlines()[-1] == "8 done"
    assert call("status", "tiny").err == "error: tiny: no results here; run the suite first\n"


def test_two_places_of_the_grid_that_are_one_cell_run_once(tmp_path: Path, call: Call) -> None:
    """0.01 is what FedProx does when nobody says anything, so both labels are true and the numbers are the same."""
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\ngrid: {algorithm: [fedprox, {name: fedprox, params: {mu: 0.01}}]}\n"
        "dataset: {name: digits, train: 100, test: 50}\npartition: iid\nmodels: mlp\n"
        "federation: {clients: 2, rounds: 1}\nlocal: {steps: 1, batch: 8}\nrun: {isolation: none}\n"
    )
    ended = call("run", suite, "--results", tmp_path, "-j", 2)
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[0] for line in ended.out.splitlines() if line.startswith("[")] == ["[1/1]"]
    rows = [line.split() for line in ended.out.splitlines() if line.startswith(" FedProx")]
    assert [row[0] for row in rows] == ["FedProx", "FedProx(mu=0.01)"]
    assert rows[0][1:] == rows[1][1:]


def test_status_lists_every_cell(tiny: Tiny, store: Store, call: Call) -> None:
    ended = call("status", tiny[0], "--results", tiny[1])
    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines() if re.match(" [0-9a-f]{12} ", line)]
    assert sorted(row[0] for row in rows) == [cell.key for cell in store.cells()]
    assert rows[2][1:] == ["fedavg", "digits(train=300,", "test=60)", "dirichlet(alpha=0.5)", "0", "done", "2/2"]
    assert ended.out.splitlines()[-1] == "8 done"


def test_status_and_tables_show_messages_as_they_are(tiny: Tiny, store: Store, call: Call) -> None:
    cell = next(store.cells())
    before = cell.status()
    cell.set_status(Status(State.FAILED, 1, 2, "KeyError: '[/x]'"))
    try:
        assert f"{cell.key}: KeyError: '[/x]'" in call("status", tiny[0], "--results", tiny[1]).out
        assert "failed: KeyError: '[/x]'" in call("tables", tiny[0], "--results", tiny[1]).out
        assert "failed KeyError: '[/x]'" in call("show", cell.key, "--results", tiny[1]).out
    finally:
        cell.set_status(before)


def test_show_tells_what_a_cell_is_and_how_to_run_it_again(tiny: Tiny, store: Store, call: Call) -> None:
    cell = next(store.cells())
    ended = call("show", cell.key[:7], "--results", tiny[1])
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == f"{cell.path}: done"
    only = ",".join(f"{axis}={label}" for axis, label in cell.description()["coordinates"].items())
    assert lines[1] == f"again: python -m mosaic_bench run {tiny[0]} --only '{only}' --results again"
    assert "  federation: {clients: 2, participation: 1.0, rounds: 2" in ended.out
    again = call("plan", tiny[0], "--results", tiny[1], "--only", only)
    assert [line.split()[0] for line in again.out.splitlines() if "digits" in line] == [cell.key]


def test_show_names_what_is_ambiguous(tiny: Tiny, call: Call) -> None:
    assert call("show", "", "--results", tiny[1]).err.startswith("error: 8 cells have a key that starts with ''")
    ended = call("show", "zz", "--results", tiny[1])
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: {tiny[1]}: no cell has a key that starts with 'zz'; `status SUITE` lists keys\n"


def test_plan_and_check_count_what_is_asked_for(tiny: Tiny, call: Call) -> None:
    planned = call("plan", tiny[0], "--results", tiny[1], "--only", "algorithm=fedavg,seed=0")
    assert planned.out.splitlines()[0] == "A [tiny] suite: 2 cells"
    assert [line.split()[-3] for line in planned.out.splitlines() if "digits" in line] == ["done", "done"]
    other = call("plan", tiny[0], "--results", tiny[1], "--set", "local.lr=0.5")
    assert [line.split()[-3] for line in other.out.splitlines() if "digits" in line] == ["planned"] * 8
    checked = call("check", tiny[0], "--only", "seed=0")
    assert checked.out == f"{tiny[0]}: 4 cells; algorithm 2, dataset 1, partition 2, seed 2\n"


def test_settings_of_the_command_line_are_part_of_how_to_run_again(tiny: Tiny, tmp_path: Path, call: Call) -> None:
    only = "algorithm=fedavg,partition=iid,seed=0"
    ended = call("run", tiny[0], "--results", tmp_path, "--set", "local.lr=0.5", "--only", only)
    assert ended.code == 0
    (cell,) = Store(tmp_path / "tiny").cells()
    assert "--set local.lr=0.5 --only" in call("show", cell.key, "--results", tmp_path).out.splitlines()[1]
    assert "--" in next(line for line in ended.out.splitlines() if line.strip().startswith("DENSE"))


def test_list_names_what_suites_can_name(call: Call) -> None:
    ended = call("list", "-v")
    assert ended.code == 0
    for name in ("fedavg", "McMahan et al., AISTATS 2017", "digits", "dirichlet", "resnet8", "server_epochs"):
        assert name in ended.out


def test_help_and_version(call: Call) -> None:
    commit = r"( \(commit [0-9a-f]{12}(, modified)?\))?"  # none where the package is installed
    assert re.fullmatch(rf"mosaic_bench {__version__}{commit}, torch \S+, Python \S+\n", call("--version").out)
    shown = call("--help")
    assert shown.code == 0
    verbs = "run check plan status show verify tables plots report gate merge export list new data doctor"
    for verb in verbs.split():
        assert re.search(rf"^\W*{verb} ", shown.out, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["run"], ["nonsense"], ["run", "x.yaml", "--workers", "0"], ["list", "--bogus"]])
def test_wrong_usage_exits_with_2(call: Call, arguments: list[str]) -> None:
    ended = call(*arguments)
    assert ended.code == 2
    assert "Usage:" in ended.err


WATCH = """
import sys
sys.argv = ["mosaic_bench", *sys.argv[1:]]
from mosaic_bench.cli import main
try:
    main()
finally:
    print({"torch", "torchvision", "sklearn", "scipy", "matplotlib"} & set(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("verb", ["--help", "--version", "status", "show", "tables", "merge", "export"])
def test_verbs_that_read_results_never_import_torch(tiny: Tiny, store: Store, verb: str) -> None:
    key = next(store.cells()).key
    options = {
        "status": [tiny[0], "--watch", "--results", tiny[1]],
        "show": [key, "--results", tiny[1]],
        "tables": [tiny[0], "--results", tiny[1]],
        "merge": [store.path, store.path],
        "export": [tiny[0], "--results", tiny[1]],
    }.get(verb, [])
    command = [sys.executable, "-c", WATCH, verb, *map(str, options)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "set()\n")


def test_numbers_on_disk_are_those_in_the_table(tiny: Tiny, store: Store) -> None:
    fedavg = [
        cell.steps()[-1]["metrics"]["acc/server@test"]
        for cell in store.cells()
        if cell.description()["coordinates"] | {"seed": ""}
        == {"algorithm": "fedavg", "dataset": "digits(train=300, test=60)", "partition": "iid", "seed": ""}
    ]
    row = next(line for line in tiny[2].splitlines() if line.strip().startswith("FedAvg"))
    assert len(fedavg) == 2
    assert row.split()[1] == f"{100 * sum(fedavg) / 2:.1f}"
    assert json.loads((store.path / "suite.json").read_text())["axes"]["seed"] == ["0", "1"]


def test_merge_counts_cells_and_exits_with_1_for_a_conflict(store: Store, tmp_path: Path, call: Call) -> None:
    merged = call("merge", store.path, store.path, "--into", tmp_path / "both")
    assert (merged.code, merged.out) == (0, f"{tmp_path / 'both'}: 8 cells copied, 8 kept\n")
    cell = next(Store(tmp_path / "both").cells())
    cell.append_step({"step": 3, "metrics": {}, "ledger": {}, "time": {}})
    conflict = call("merge", store.path, tmp_path / "both")
    assert conflict.code == 1
    assert f"conflict: {cell.key} has different results in" in conflict.out
    assert call("merge", store.path, tmp_path / "nowhere").err == (
        f"error: {tmp_path / 'nowhere'}: no results here; run the suite first\n"
    )


def test_export_writes_each_format_and_no_folder_over_another(store: Store, tmp_path: Path, call: Call) -> None:
    for kind, name in (("csv", "steps.csv"), ("parquet", "steps.parquet"), ("tensorboard", "tensorboard")):
        exported = call("export", store.path, "--to", kind, "--output", tmp_path / name)
        assert (exported.code, exported.out) == (0, f"{tmp_path / name}\n")
    steps = sum(len(cell.steps()) for cell in store.cells())
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == 1 + steps
    assert len(list((tmp_path / "tensorboard").iterdir())) == 8
    again = call("export", store.path, "--to", "tensorboard", "--output", tmp_path / "tensorboard")
    assert again.err.endswith("is there already; remove it or choose another folder\n")


@pytest.fixture
def crash(tmp_path: Path) -> Iterator[Path]:
    """A plugin whose algorithm fails, forgotten afterwards."""
    file = tmp_path / "crash.py"
    file.write_text(
        "from mosaic_bench.api import Algorithm, register\n\n\n"
        '@register("crash", paper="none")\nclass Crash(Algorithm):\n'
        '    def setup(self):\n        raise ValueError("two [/lines]\\nof it")\n\n'
        "    def step(self, t):\n        pass\n"
    )
    yield file
    forget_plugin("crash")


def test_a_failing_cell_exits_with_1_and_leaves_the_others(tmp_path: Path, crash: Path, call: Call) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\ngrid: {algorithm: [crash, fedavg]}\ndataset: {name: digits, train: 60, test: 20}\npartition: iid\n"
        "models: mlp\nfederation: {clients: 1, rounds: 1}\nlocal: {steps: 1, batch: 8}\nrun: {isolation: none}\n"
    )
    ended = call("run", suite, "--results", tmp_path / "results", "--plugin", crash)
    assert (ended.code, ended.err) == (1, "")
    assert re.search(r"^\[1/2\] [0-9a-f]{12} failed  +\d\.\d s  crash$", ended.out, re.MULTILINE)
    assert "[a] failed: ValueError: two [/lines] of it (traceback in " in ended.out
    table = [line.split()[:2] for line in ended.out.splitlines() if re.match(r" (crash|FedAvg) ", line)]
    assert table[0] == ["crash", "fail"]
    assert table[1][0] == "FedAvg"
