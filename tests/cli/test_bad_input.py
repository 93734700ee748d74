"""Bad input is one clear message with exit code 2: file, line or path, and what to do. Nothing is half-written."""

import re
from pathlib import Path

import numpy as np
import pytest
from calls import Call
from runs import mosaic

SUITE = """\
suite: s
grid:
  algorithm:
    - fedavg
    - {name: dense, params: {server_epochs: 1}}
  partition:
    - iid
    - dirichlet:
        alpha: 0.1
dataset: digits
models: mlp
federation: {clients: 4, rounds: 1}
local: {steps: 1, batch: 8}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with data and prepared copies nowhere else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOSAIC_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MOSAIC_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write(text: str) -> None:
    Path("s.yaml").write_text(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- fedavg", "- fedagv", "s.yaml:4: unknown algorithm 'fedagv'; did you mean 'fedavg'?"),
        ("server_epochs: 1", "server_epoch: 1", "s.yaml:5: unknown key 'server_epoch'; did you mean 'server_epochs'?"),
        ("server_epochs: 1", "server_epochs: 0", "s.yaml:5: server_epochs should be greater than or equal to 1, got 0"),
        ("server_epochs: 1", "server_epochs: ten", "s.yaml:5: server_epochs should be a valid integer"),
        ("server_epochs: 1", "server_epochs: true", "s.yaml:5: server_epochs should be a valid integer, got True"),
        ("server_epochs: 1", "generator_lr: .nan", "s.yaml:5: generator_lr should be a finite number, got nan"),
        ("alpha: 0.1", "alpha: 0", "s.yaml:9: alpha should be greater than 0, got 0"),
        ("alpha: 0.1", "alpha: -1.5", "s.yaml:9: alpha should be greater than 0, got -1.5"),
        ("alpha: 0.1", "alhpa: 0.1", "s.yaml:9: unknown key 'alhpa'; did you mean 'alpha'?"),
        ("alpha: 0.1", "alpha: 0.1\n        sceme: plain", "s.yaml:10: unknown key 'sceme'; did you mean 'scheme'?"),
        ("alpha: 0.1", "alpha: '0.1'", "s.yaml:9: alpha should be a valid number, got '0.1'"),
        ("alpha: 0.1", "alpha: .inf", "s.yaml:9: alpha should be a finite number, got inf"),
        ("- dirichlet:", "- drichlet:", "s.yaml:8: unknown partition 'drichlet'; did you mean 'dirichlet'?"),
        ("models: mlp", "models: {arch: mpl}", "s.yaml:11: unknown architecture 'mpl'; did you mean 'mlp'?"),
        ("dataset: digits", "dataset: digit", "s.yaml:10: unknown data set 'digit'"),
        ("clients: 4", "clients: 5000", "s.yaml:12: federation.clients is 5000, but only"),
        ("dataset: digits", "dataset: {name: digits, train: 99999}", "s.yaml:10: dataset.train is 99999, but digits"),
        ("dataset: digits", "dataset: {name: digits, test: 361}", "s.yaml:10: dataset.test is 361, but digits has 360"),
        (
            "rounds: 1",
            "rounds: 1, public: {from: toy2d}",
            "s.yaml:12: images of toy2d are 1×1×2, those of digits are 16×16×1; public images need the same shape",
        ),
        (
            "rounds: 1",
            "rounds: 1, public: {from: digits}",
            "s.yaml:12: 1437 of the 1437 images of digits are training images of digits, which clients",
        ),
        (
            "clients: 4, rounds: 1",
            "clients: 648, rounds: 1, validation: 0.099",  # 142.3 images
            "s.yaml:12: federation.clients is 648, but only 1295 images are left for clients",
        ),
        (
            "rounds: 1",
            "rounds: 1, validation: 0.0002",
            "s.yaml:12: federation.validation is 0.0002, which is no image out of 1437; make it larger or leave it out",
        ),
        (
            "rounds: 1",
            "rounds: 1, public: {fraction: 0.0002}",
            "s.yaml:12: federation.public.fraction is 0.0002, which is no image out of 1437;",
        ),
        ("dataset:", "  zip: {1: [2]}\ndataset:", "s.yaml:10: grid.zip: 1 is not the name of an axis"),
        ("dataset:", "  exclude: [{1: 2}]\ndataset:", "s.yaml:10: '1' is not an axis of this grid; known: algorithm"),
        ("rounds: 1", "rounds: 0", "s.yaml:12: federation.rounds should be greater than or equal to 1, got 0"),
        ("suite: s", "suit: s", "s.yaml:1: unknown key 'suit'; did you mean 'suite'?"),
        ("grid:", "grid: [", "s.yaml:4: not valid YAML: "),
    ],
)
def test_a_wrong_suite_names_file_and_line_and_writes_nothing(call: Call, old: str, new: str, message: str) -> None:
    assert old in SUITE
    write(SUITE.replace(old, new))
    for verb in ("check", "run"):
        ended = call(verb, "s.yaml")
        assert (ended.code, ended.out) == (2, "")
        assert f"error: {message}" in ended.err
        assert all(line.startswith("error: ") for line in ended.err.splitlines())
    assert not Path("results").exists()


@pytest.mark.parametrize("verb", ["check", "plan", "run"])
def test_an_architecture_that_cannot_take_the_images_is_named(call: Call, verb: str) -> None:
    write(SUITE.replace("dataset: digits", "dataset: toy2d").replace("models: mlp", "models: cnn"))
    ended = call(verb, "s.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: s.yaml:11: cnn cannot take images of toy2d, which are 1×1×2 (")
    assert "Traceback" not in ended.err
    assert not Path("results").exists()


@pytest.mark.parametrize("verb", ["run", "check", "plan", "status", "tables", "plots", "report"])
def test_a_missing_suite_file_is_named(call: Call, verb: str) -> None:
    ended = call(verb, "nowhere.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: nowhere.yaml: there is no such file, and no suite of that name; known: ")


@pytest.mark.parametrize("verb", ["status", "tables", "plots", "report"])
def test_results_that_do_not_exist_are_named(call: Call, verb: str) -> None:
    ended = call(verb, "s")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: results/s: no results here; run the suite first\n"


def test_only_the_data_of_the_cells_that_are_asked_for_need_be_known(call: Call) -> None:
    write(SUITE.replace("dataset: digits\n", "").replace("  partition:", "  dataset: [digits, theirs]\n  partition:"))
    assert call("check", "s.yaml").code == 2
    ended = call("run", "s.yaml", "--only", "dataset=digits,algorithm=fedavg,partition=iid")
    assert (ended.code, ended.err) == (0, "")
    assert call("status", "s.yaml").out.count(" done ") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "quickstart", "--data", "nowhere"), "--data nowhere: there is no such folder"),
        (("new", "mine", "--folder", "file/sub"), "file/sub: cannot be written (Not a directory)"),
        (("data", "show", "digits", "--out", "file/sub"), "cannot be written (Not a directory)"),
    ],
)
def test_a_folder_that_is_not_there_or_cannot_be_made_is_named(
    call: Call, arguments: tuple[str, ...], message: str
) -> None:
    Path("file").write_text("in the way")
    ended = call(*arguments)
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_tail_as_long_as_the_federation_is_doubted(call: Call) -> None:
    write(SUITE.replace("batch: 8", "batch: 8, tail: {rounds: 3, factor: 0.5}"))
    ended = call("check", "s.yaml")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1:] == [
        "warning: s.yaml:13: local.tail has 3 rounds and the federation 1, so every round trains at 0.5 times "
        "local.lr; shorten the tail, or set it to null"
    ]


def test_a_data_set_that_is_not_here_stops_run_and_is_only_noted_by_check_and_plan(call: Call) -> None:
    write(SUITE.replace("dataset: digits", "dataset: food101"))
    ended = call("run", "s.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert "mosaic-bench data fetch food101" in ended.err
    assert not Path("results").exists()
    for verb in ("check", "plan"):
        ended = call(verb, "s.yaml")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.count("data fetch food101") == 1
    assert [line.split()[0] for line in ended.out.splitlines() if re.search(" no data +~ ", line)] == ["--"] * 4


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"not an archive"])
def test_a_data_file_that_is_damaged_is_named(call: Call, folder: Path, content: bytes) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "mine.npz").write_bytes(content)
    write(SUITE.replace("dataset: digits", "dataset: mine"))
    ended = call("run", "s.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert str(folder / "data" / "mine.npz") in ended.err
    assert not Path("results").exists()


def test_a_data_file_cut_in_the_middle_is_named(call: Call, folder: Path) -> None:
    (folder / "data").mkdir()
    file = folder / "data" / "mine.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 4
    np.savez_compressed(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    write(SUITE.replace("dataset: digits", "dataset: mine"))
    assert call("check", "s.yaml").code == 0
    file.write_bytes(file.read_bytes()[:1500])
    ended = call("run", "s.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert str(file) in ended.err


def test_results_that_cannot_be_written_are_named(call: Call) -> None:
    write(SUITE)
    Path("file").write_text("in the way")
    ended = call("run", "s.yaml", "--results", "file/results")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: file/results/s: cannot write results here (Not a directory); choose another folder with --results\n"
    )
    assert Path("file").read_text() == "in the way"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "--plugin mine.py: no such file"),
        ("1 / 0", "--plugin mine.py: ZeroDivisionError"),
        ("import no_such_module", "--plugin mine.py: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_plugin_that_does_not_load_is_named(call: Call, content: str | None, message: str) -> None:
    write(SUITE)
    if content is not None:
        Path("mine.py").write_text(content)
    ended = call("run", "s.yaml", "--plugin", "mine.py")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert not Path("results").exists()


def test_the_program_itself_prints_the_message_and_no_traceback() -> None:
    write(SUITE.replace("alpha: 0.1", "alpha: 0"))
    ended = mosaic("run", "s.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: s.yaml:9: alpha should be greater than 0, got 0\n"
