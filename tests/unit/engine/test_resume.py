"""Interrupted cells end with the numbers of uninterrupted ones, whatever the step and the algorithm."""

from pathlib import Path

import pytest
import torch
from support import describe, exact, jobs_of, run_until

from mosaic_bench.engine.resolve import Job
from mosaic_bench.store import CellFolder, State, shown_state

SUITE = """
suite: tiny
grid:
  algorithm:
    - fedavg
    - {name: dense, params: {server_epochs: 3, generator_steps: 2, generator_base: 4, batch: 32}}
  seed: [3]
dataset: {name: digits, train: 300, test: 100}
partition: {dirichlet: {alpha: 0.3}}
models: {arch: resnet8, width: 0.25}
federation: {clients: 3, rounds: 4, participation: 0.7, validation: 0.1}
local: {steps: 2, batch: 16, lr: 0.05, momentum: 0.9, augment: standard}
"""

MODELS = {
    "families": "{arch: [cnn, mlp], width: 0.25}",
    "static": "{arch: resnet8, widths: [1, 0.5, 0.25], extract: static}",
    "rolling": "{arch: resnet8, widths: [1, 0.5, 0.25], extract: rolling}",
    "random": "{arch: resnet8, widths: [1, 0.5, 0.25], extract: random}",
    "group": "{arch: resnet8, width: 0.25, norm: group}",
    "recalibrated": "{arch: resnet8, width: 0.25, batch_statistics: recalibrate}",
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("suite") / "tiny.yaml"
    file.write_text(SUITE)
    return file


@pytest.mark.parametrize("index", [0, 1], ids=["fedavg", "dense"])
def test_stopping_after_any_step_changes_no_number(suite: Path, tmp_path: Path, index: int) -> None:
    check_resume(jobs_of(suite, [])[index], tmp_path)


@pytest.mark.parametrize("models", MODELS.values(), ids=MODELS)
def test_so_it_is_for_every_kind_of_client_models(tmp_path: Path, models: str) -> None:
    check_resume(fedavg_with(models, tmp_path), tmp_path)


def test_recalibrated_statistics_change_what_is_evaluated_and_not_the_first_round(tmp_path: Path) -> None:
    first: dict[str, dict[str, float]] = {}
    for name, models in (("averaged", "{arch: resnet8, width: 0.25}"), ("recalibrated", MODELS["recalibrated"])):
        folder = describe(fedavg_with(models, tmp_path), tmp_path, [])
        run_until(folder, [], stop_after=1)
        first[name] = folder.steps()[0]["metrics"]
    assert first["averaged"]["loss/train"] == first["recalibrated"]["loss/train"]
    assert first["averaged"]["nll/server@test"] != first["recalibrated"]["nll/server@test"]


def fedavg_with(models: str, path: Path) -> Job:
    """The FedAvg cell of the suite with other models, three rounds, and images that the server owns."""
    text = SUITE.replace("{arch: resnet8, width: 0.25}", models)
    text = text.replace("rounds: 4,", "rounds: 3, public: {from: train, fraction: 0.1},")
    file = path / "tiny.yaml"
    file.write_text(text)
    return jobs_of(file, [])[0]


def check_resume(job: Job, tmp_path: Path) -> None:
    """Run a cell at once, and again with a stop after every step."""
    whole = describe(job, tmp_path / "whole", [])
    assert run_until(whole, []) is State.DONE
    steps = whole.status().steps
    assert steps is not None
    cut = describe(job, tmp_path / "cut", [])
    states = [run_until(cut, [], stop_after=1) for _ in range(steps)]
    assert states == [State.INTERRUPTED] * (steps - 1) + [State.DONE]
    assert exact(cut.steps()) == exact(whole.steps())
    assert cut.read_correct() == whole.read_correct()
    assert not cut.checkpoint.exists()


def test_evaluating_less_often_changes_no_number(suite: Path, tmp_path: Path) -> None:
    job = jobs_of(suite, [])[0]
    often = describe(job, tmp_path / "often", [])
    run_until(often, [])
    rarely = CellFolder(tmp_path / "rarely")
    document = often.description()
    rarely.describe(document | {"cell": document["cell"] | {"evaluate": {"every": 3}}})
    run_until(rarely, [])
    by_step = {record["step"]: record for record in exact(often.steps())}
    assert [record["step"] for record in rarely.steps()] == [3, 4]
    assert exact(rarely.steps()) == [by_step[3], by_step[4]]


def test_lines_after_the_checkpoint_and_a_torn_line_are_earned_again(suite: Path, tmp_path: Path) -> None:
    job = jobs_of(suite, [])[0]
    whole, cut = describe(job, tmp_path / "whole", []), describe(job, tmp_path / "cut", [])
    run_until(whole, [])
    run_until(cut, [], stop_after=2)
    with (cut.path / "steps.jsonl").open("a") as file:
        file.write('{"step": 3, "metrics": {"acc/server@test": 9.9}}\n{"step": 4, "met')
    run_until(cut, [])
    assert exact(cut.steps()) == exact(whole.steps())


def test_a_checkpoint_of_another_numeric_environment_is_not_continued(suite: Path, tmp_path: Path) -> None:
    job = jobs_of(suite, [])[0]
    whole, moved = describe(job, tmp_path / "whole", []), describe(job, tmp_path / "moved", [])
    run_until(whole, [])
    run_until(moved, [], stop_after=2)
    content = torch.load(moved.checkpoint, weights_only=True)
    content["numeric"]["threads"] = 64
    torch.save(content, moved.checkpoint)
    run_until(moved, [])
    assert exact(moved.steps()) == exact(whole.steps())


def test_the_cell_says_what_each_client_got(suite: Path, tmp_path: Path) -> None:
    job = jobs_of(suite, [])[0]
    folder = describe(job, tmp_path, [])
    run_until(folder, [], stop_after=1)
    partition = folder.description()["partition"]
    assert sum(map(sum, partition["table"])) == 270
    assert sum(partition["sizes"]) == 270


def test_a_cell_that_goes_on_from_an_older_checkpoint_is_as_old_as_that(suite: Path, tmp_path: Path) -> None:
    folder = describe(jobs_of(suite, [])[0], tmp_path, [])
    run_until(folder, [], stop_after=2)
    content = torch.load(folder.checkpoint, weights_only=True)
    torch.save(content | {"sources": content["sources"] | {"algorithm": "older", "text": "older"}}, folder.checkpoint)
    run_until(folder, [], stop_after=1)
    assert run_until(folder, []) is State.DONE
    assert folder.environment()["sources"]["algorithm"] == "older"
    assert shown_state(folder) is State.STALE
