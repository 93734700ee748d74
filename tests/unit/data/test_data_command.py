"""The verb `data`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from published import write_npz
from typer.testing import CliRunner

from mosaic_bench.cli.data import app
from mosaic_bench.errors import UserError


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOSAIC_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOSAIC_BENCH_DATA", str(tmp_path))
    write_npz(tmp_path / "own.npz", n=200)


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
    assert len(output.splitlines()) == 1 + 4 + 1 + 4
    assert len(list((tmp_path / "f").iterdir())) == 4


def test_show_of_a_subset_has_that_many_images(tmp_path: Path) -> None:
    output = run("show", "own", "--clients", 2, "--train", 20, "--out", tmp_path / "f")
    assert [line.split()[:2] for line in output.splitlines()[1:3]] == [["0", "10"], ["1", "10"]]


def test_fetch_of_an_unknown_name_is_corrected() -> None:
    with pytest.raises(UserError, match="Did you mean mnist"):
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
