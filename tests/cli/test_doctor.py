"""``doctor`` finds what is there, and says what to do about what is not."""

import sys
from pathlib import Path

import pytest
import torch
from calls import Call

from mosaic_bench.engine.machine import bf16_speedup


def rows(out: str) -> dict[str, str]:
    """First column -> the rest of the line."""
    names = ("torch", "CPU", "data set digits", "data set food101", "export --to parquet", "cache", "results")
    lines = [line.strip() for line in out.splitlines()]
    return {name: line.removeprefix(name).strip() for name in names for line in lines if line.startswith(f"{name} ")}


def test_a_machine_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.setenv("MOSAIC_BENCH_CACHE", str(tmp_path / "cache" / "below"))
    ended = call("doctor", "--results", tmp_path / "results")
    found = rows(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert found["torch"] == torch.__version__
    assert found["data set digits"] == "here"
    assert found["cache"] == f"{tmp_path / 'cache' / 'below'} takes files"
    assert "times as fast as fp32" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_comes_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    (tmp_path / "results").write_text("in the way")
    monkeypatch.setenv("MOSAIC_BENCH_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ended = call("doctor", "--results", tmp_path / "results" / "below")
    found = rows(ended.out)
    assert ended.code == 1
    assert found["data set food101"].endswith("data fetch food101`")
    assert found["results"].endswith("choose another folder with --results")
    assert found["export --to parquet"].endswith("pip install 'mosaic-bench[parquet]'")


def test_run_warns_where_bf16_is_emulated(tmp_path: Path, call: Call) -> None:
    """Processors without bf16 instructions take several times as long as in fp32, the others less or as long."""
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\ngrid: {algorithm: [fedavg]}\ndataset: digits\npartition: iid\nmodels: mlp\n"
        "federation: {clients: 2, rounds: 1}\nlocal: {steps: 1, precision: bf16}\nrun: {isolation: none}\n"
    )
    ended = call("run", suite, "--results", tmp_path / "results", "--devices", "cpu")
    assert ended.code == 0
    slow = bf16_speedup(torch.device("cpu")) < 0.8
    assert ("local.precision: bf16 is slow on cpu here" in " ".join(ended.out.split())) == slow
    again = call("run", suite, "--results", tmp_path / "results", "--devices", "cpu")
    assert "is slow on" not in again.out  # nothing is left to run
