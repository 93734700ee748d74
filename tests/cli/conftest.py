"""A small finished run that many tests read, and calls of the program."""

from pathlib import Path

import pytest
from calls import Call, make_call
from runs import mosaic

TINY = """\
suite: tiny
title: A [tiny] suite
grid:
  algorithm: [fedavg, dense]
  dataset: [{name: digits, train: 300, test: 60}]
  partition: [iid, {dirichlet: {alpha: 0.5}}]
  seed: [0, 1]
models: mlp
federation: {clients: 2, rounds: 2}
local: {steps: 2, batch: 8}
overrides:
  - when: {algorithm: dense}
    set: {algorithm.params: {server_epochs: 1, generator_steps: 1, generator_base: 8, batch: 8}}
run: {isolation: none}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The suite file, its results folder, and what the run printed."""
    folder = tmp_path_factory.mktemp("tiny")
    suite, results = folder / "tiny.yaml", folder / "results"
    suite.write_text(TINY)
    ended = mosaic("run", suite, "--results", results, COLUMNS="80")
    assert (ended.returncode, ended.stderr) == (0, "")
    return suite, results, ended.stdout


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return make_call(capsys)
