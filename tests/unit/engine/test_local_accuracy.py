"""Test images dealt to the clients: from the correctness that evaluation has anyway, to the last digit."""

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from support import describe, jobs_of, run_until

from mosaic_bench.data import client_test_split, open_dataset
from mosaic_bench.engine.evaluate import local_accuracy
from mosaic_bench.engine.resolve import Job
from mosaic_bench.fed.seeds import numpy_rng
from mosaic_bench.store import CellFolder

SUITE = """
suite: tiny
grid:
  algorithm: [fedavg]
  models: [{arch: mlp, norm: none}, {arch: [mlp, cnn], width: 0.25}]
  evaluate.local: [none, global, own]
dataset: {name: digits, train: 300, test: 101}
partition: {dirichlet: {alpha: 0.1}}
federation: {clients: 6, rounds: 1}
local: {steps: 20, batch: 16, lr: 0.1}
seed: 5
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], CellFolder]:
    """One finished cell per (models, local)."""
    path = tmp_path_factory.mktemp("cells")
    file = path / "tiny.yaml"
    file.write_text(SUITE)
    return {named(job): run(job, path) for job in jobs_of(file, [])}


def named(job: Job) -> tuple[str, str]:
    return "family" if len(job.cell.models.architectures) > 1 else "one", job.cell.evaluate.local


def run(job: Job, path: Path) -> CellFolder:
    folder = describe(job, path, [])
    run_until(folder, [])
    return folder


def test_it_is_the_mean_over_clients_and_not_over_images() -> None:
    correct = torch.tensor([True, True, True, False, True, False, False])
    parts = [torch.tensor([0, 1, 2, 3]), torch.tensor([5]), torch.tensor([4, 6])]
    assert local_accuracy(correct, parts) == (3 / 4 + 0 / 1 + 1 / 2) / 3


@pytest.mark.parametrize("models", ["one", "family"])
@pytest.mark.parametrize("mix", ["global", "own"])
def test_the_metric_is_what_the_stored_correctness_says(
    finished: dict[tuple[str, str], CellFolder], models: str, mix: str
) -> None:
    folder = finished[models, mix]
    status, metrics = folder.status(), folder.steps()[-1]["metrics"]
    labels = open_dataset("digits").subset(300, 101).test.labels
    counts = np.array(folder.description()["partition"]["table"])
    parts = client_test_split(labels, counts, mix, numpy_rng(5, "local test"))  # type: ignore[arg-type]
    rows = np.unpackbits(np.frombuffer(folder.read_correct(), np.uint8).reshape(len(status.correct), -1), axis=1)
    expected = {
        member: fmean(int(row[part].sum()) / len(part) for part in parts if len(part))
        for member, row in zip(status.correct, rows, strict=True)
    }
    assert set(expected) == ({"server"} if models == "one" else {"server.mlp", "server.cnn"})
    assert {member: metrics[f"acc/{member}@local"] for member in expected} == expected
    assert metrics["acc/server@local"] == fmean(expected.values())


@pytest.mark.parametrize("models", ["one", "family"])
def test_it_changes_no_other_number(finished: dict[tuple[str, str], CellFolder], models: str) -> None:
    plain = finished[models, "none"].steps()[-1]["metrics"]
    assert not any("@local" in name for name in plain)
    for mix in ("global", "own"):
        metrics = finished[models, mix].steps()[-1]["metrics"]
        assert {name: value for name, value in metrics.items() if "@local" not in name} == plain


def test_it_is_part_of_a_key_off_its_default_only(finished: dict[tuple[str, str], CellFolder], tmp_path: Path) -> None:
    assert len({folder.key for folder in finished.values()}) == 6
    file = tmp_path / "tiny.yaml"
    file.write_text(SUITE.replace("  evaluate.local: [none, global, own]\n", ""))
    for job in jobs_of(file, []):
        assert describe(job, tmp_path, []).key == finished[named(job)].key
