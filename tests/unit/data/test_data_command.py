"""The verb `data`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from published import write_npz
from support import describe, jobs_of, run_until
from typer.testing import CliRunner

from mosaic_bench.cli.data import app
from mosaic_bench.errors import UserError

SUITE = """\
suite: s
grid:
  algorithm: [fedavg, dense]
  dataset: [{name: own, train: 120, test: 20}, digits, food101]
  partition: [{dirichlet: {alpha: 0.5, min_size: 2}}, iid]
  seed: [0, 1]
models: mlp
federation: {clients: 3, rounds: 1, validation: 0.1, public: {from: train, fraction: 0.2}}
local: {steps: 1, batch: 8}
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOSAIC_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOSAIC_BENCH_DATA", str(tmp_path))
    write_npz(tmp_path / "own.npz", n=200)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "s.yaml"
    file.write_text(SUITE)
    return file


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_show_prints_the_table_and_writes_the_figures(tmp_path: Path) -> None:
    output = run(
        "show", "own", "--partition", "{classes_per_client: {classes: 2}}", "--clients", 4, "--out", tmp_path / "f"
    )
    assert "mean label entropy 0.693 nats, mean total-variation distance to the global mix 0.500" in output
    assert output.splitlines()[0] == "own · classes_per_client(classes=2) · 4 clients · seed 0"
    assert len(tables(output)) == 4
    stem = "own-classes_per_client-classes=2-4-clients-seed-0"
    names = [f"{stem}-{kind}.{suffix}" for kind in ("bubbles", "heatmap") for suffix in ("pdf", "png")]
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == names


def tables(output: str) -> list[list[int]]:
    """The rows of all tables: client, images, and images per class."""
    rows = [line.replace("·", "0").split() for line in output.splitlines() if line.strip()[:1].isdigit()]
    return [[int(row[0]), int(row[1]), *map(int, row[4:])] for row in rows]


def test_show_of_a_subset_has_that_many_images(tmp_path: Path) -> None:
    output = run("show", "own", "--clients", 2, "--train", 20, "--out", tmp_path / "f")
    assert [row[:2] for row in tables(output)] == [[0, 10], [1, 10]]


def test_show_of_a_suite_shows_what_the_runs_clients_get(suite: Path, tmp_path: Path) -> None:
    output = run("show", suite, "--only", "dataset=own*,partition=dirichlet,seed=1", "--out", tmp_path / "f")
    title = "own(train=120) · dirichlet(alpha=0.5, min_size=2) · 3 clients · validation 0.1 · public 0.2 · seed 1"
    assert output.splitlines()[0] == title
    assert "validation images that no client holds: 12\npublic images that no client holds: 24\n" in output
    [job] = [
        job
        for job in jobs_of(suite, [tmp_path])
        if {"fedavg", "1"} < {*job.coordinates.values()}
        and not job.missing
        and job.cell.dataset.name == "own"
        and "dirichlet" in job.cell.partition
    ]
    folder = describe(job, tmp_path, [tmp_path])
    run_until(folder, [tmp_path])
    assert [row[2:] for row in tables(output)] == folder.description()["partition"]["table"]


def test_show_of_a_suite_shows_every_split_once_and_names_missing_data(suite: Path, tmp_path: Path) -> None:
    output = run("show", suite, "--only", "seed=0", "--out", tmp_path / "f")
    titles = [line for line in output.splitlines() if line.endswith("seed 0")]
    assert len(titles) == len(set(titles)) == 2 * 2
    assert output.splitlines()[-1] == "no data: fetch it with `mosaic-bench data fetch food101`"
    assert len(list((tmp_path / "f").iterdir())) == 4 * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own", "--partition", "{dirichlet: {alpha: 0}}"], "--partition .*: alpha should be greater than 0, got 0"),
        (["own", "--partition", "{dirichlet: {alhpa: 1}}"], "--partition .*: unknown key 'alhpa'; did you mean"),
        (["own", "--partition", "dirchlet"], "--partition dirchlet: unknown partition 'dirchlet'; did you mean"),
        (["own", "--partition", "{"], "--partition {: not valid YAML"),
        (["own", "--only", "seed=0"], "--only is for suites, and own is no .yaml file"),
        (["s.yaml", "--seed", "0"], "--seed describes a data set; for a suite use --only or --set"),
        (["nowhere.yml"], "nowhere.yml: there is no such file, and no suite of that name"),
    ],
)
def test_show_says_what_is_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run("show", *arguments)


def test_fetch_of_a_suite_covers_every_data_set_it_names(suite: Path) -> None:
    text = SUITE.replace(", food101", "").replace("public: {from: train,", "public: {from: toy2d,")
    suite.write_text(text)
    assert [line.split(":")[0] for line in run("fetch", suite, "digits").splitlines()] == ["own", "digits", "toy2d"]


def test_fetch_of_an_unknown_name_is_corrected() -> None:
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        run("fetch", "minst")


def test_fetch_without_network_is_a_user_error_with_the_published_address(tmp_path: Path) -> None:
    # A proxy that nobody runs refuses every connection; urllib reads the variable once per process.
    code = f"from mosaic_bench.cli.data import app; app(['fetch', 'svhn', '--data', {str(tmp_path)!r}])"
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode != 0
    assert "could not download train_32x32.mat of svhn" in run.stderr
    assert "http://ufldl.stanford.edu/housenumbers/train_32x32.mat" in run.stderr


def test_fetch_of_what_is_there_names_its_licence() -> None:
    assert run("fetch", "digits") == "digits: present. Licence: CC BY 4.0.\n"


def test_verify_reports_a_flipped_byte_and_exits_with_one(tmp_path: Path) -> None:
    run("show", "own", "--out", tmp_path / "f")
    assert "prepared copy" not in run("verify", "own")
    [pixels] = (tmp_path / "cache").glob("own-*/train_images.npy")
    content = bytearray(pixels.read_bytes())
    content[-1] ^= 1
    pixels.write_bytes(content)
    result = CliRunner().invoke(app, ["verify", "own"])
    assert result.exit_code == 1
    assert "was altered: its tensors have digest" in result.output
