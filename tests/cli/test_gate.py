"""The gate passes what is the same, and fails for each of six mistakes that a change could make."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from calls import Call, Ended
from runs import WITHOUT_TORCH
from torch import Tensor

from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm
from mosaic_bench.fed.average import CoverageAverage
from mosaic_bench.fed.client_data import ClientData
from mosaic_bench.fed.federation import Federation
from mosaic_bench.suite import load_suite

ROOT = Path(__file__).parents[2]
SUITES = sorted((ROOT / "suites/ci").glob("gate_*.yaml"))
REFERENCES = ROOT / "results/reference/ci"
DIGITS, WIDTHS = ROOT / "suites/ci/gate_digits.yaml", ROOT / "suites/ci/gate_widths.yaml"

FEDAVG, DENSE_ROUNDS = "algorithm=fedavg", "algorithm=dense-rounds"
ROLLING = "algorithm=fedavg,models=*rolling*"

Patch = pytest.MonkeyPatch


@pytest.fixture
def gate(call: Call) -> Callable[..., Ended]:
    def run(suite: Path, only: str, *more: object) -> Ended:
        options = ["--against", REFERENCES, "--only", only, "--isolation", "none", *more]
        return call("gate", suite, *options)

    return run


def changed(ended: Ended) -> list[str]:
    """The sentences about what has changed."""
    assert ended.code == 1, ended.out + ended.err
    return [line for line in ended.out.splitlines() if ": step " in line]


# -- what is the same -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suite", "only"), [(DIGITS, FEDAVG), (DIGITS, DENSE_ROUNDS), (WIDTHS, ROLLING)])
def test_code_that_is_the_same_passes(gate: Callable[..., Ended], real_data: Any, suite: Path, only: str) -> None:
    if suite == WIDTHS:
        real_data("fmnist")
    ended = gate(suite, only)
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1] == "1 cell: 0 failed, 0 only gained, 1 the same"


# -- six mistakes -----------------------------------------------------------------------------------------------------


def test_a_client_whose_weight_is_doubled(gate: Callable[..., Ended], monkeypatch: Patch) -> None:
    weight = Federation._weight

    def doubled(self: Federation, update: Any, weights: Any) -> float:
        return weight(self, update, weights) * (2 if update.client == 0 else 1)

    monkeypatch.setattr(Federation, "_weight", doubled)
    sentences = changed(gate(DIGITS, FEDAVG))
    assert all("step 1: norm of servers.cnn" in line for line in sentences), sentences  # the loss came before it


def test_batch_norm_statistics_that_are_not_averaged(gate: Callable[..., Ended], monkeypatch: Patch) -> None:
    result = CoverageAverage.result

    def without_buffers(self: CoverageAverage) -> dict[str, Tensor]:
        kept = {name: tensor for name, tensor in self._reference.items() if "running_" in name}
        return result(self) | kept

    monkeypatch.setattr(CoverageAverage, "result", without_buffers)
    sentences = changed(gate(DIGITS, FEDAVG))
    assert all("running_" in line for line in sentences), sentences


def epoch(shuffled: bool, shift: int) -> Callable[..., Iterator[tuple[Tensor, Tensor]]]:
    """As ``ClientData._epoch`` without augmentation, with what can go wrong in it."""

    def batches(self: ClientData, size: int, random: torch.Generator, augmentation: None) -> Iterator[Any]:
        indices = self._readable()
        order = indices[torch.randperm(len(indices), generator=random)] if shuffled else indices
        for step in range(self.steps_per_epoch(size)):
            chosen = order[step * size : (step + 1) * size]
            yield self._source.batch(chosen), (self._source.labels[chosen] + shift) % 10

    return batches


def test_batches_that_are_not_shuffled(gate: Callable[..., Ended], monkeypatch: Patch) -> None:
    monkeypatch.setattr(ClientData, "_epoch", epoch(shuffled=True, shift=0))
    assert gate(DIGITS, FEDAVG).code == 0  # what stands in for the real one is the same
    monkeypatch.setattr(ClientData, "_epoch", epoch(shuffled=False, shift=0))
    assert "step 1: loss" in "".join(changed(gate(DIGITS, FEDAVG)))


def test_labels_that_are_off_by_one(gate: Callable[..., Ended], monkeypatch: Patch) -> None:
    monkeypatch.setattr(ClientData, "_epoch", epoch(shuffled=True, shift=1))
    ended = gate(DIGITS, FEDAVG)
    assert "step 1: loss" in "".join(changed(ended))
    assert "changed, drop" in ended.out


def test_a_distillation_loss_without_the_square_of_its_temperature(
    gate: Callable[..., Ended], monkeypatch: Patch
) -> None:
    def without_square(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        log_student, log_teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
        return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)

    monkeypatch.setattr("baselines.fusion.distillation_loss", without_square)
    assert "norm of " in "".join(changed(gate(DIGITS, DENSE_ROUNDS)))


def test_slices_that_are_averaged_in_another_place(
    gate: Callable[..., Ended], real_data: Any, monkeypatch: Patch
) -> None:
    real_data("fmnist")
    add = CoverageAverage.add

    class Leading:
        """The first channels, whatever the client has got."""

        is_whole = False

        def __init__(self, state: dict[str, Tensor]) -> None:
            self._state = state

        def indices(self, name: str) -> tuple[slice, ...]:
            return tuple(slice(0, length) for length in self._state[name].shape[:2])

    def misaligned(self: CoverageAverage, state: dict[str, Tensor], weight: float, slice: Any = None) -> None:
        add(self, state, weight, None if slice is None or slice.is_whole else Leading(state))

    monkeypatch.setattr(CoverageAverage, "add", misaligned)
    ended = gate(WIDTHS, ROLLING)
    assert any(": step 2: " in line for line in changed(ended)), ended.out  # at step 1 a rolling slice is the first one


# -- what the suites cover --------------------------------------------------------------------------------------------


def test_every_algorithm_and_every_kind_of_client_models_is_gated() -> None:
    cells = [planned.cell for suite in SUITES for planned in load_suite(suite).cells]
    gated = {cell.algorithm.name for cell in cells}
    algorithms = map(find_algorithm, algorithm_names())
    built_in = [each for each in algorithms if each.__module__.startswith("baselines.")]  # other tests register theirs
    assert {algorithm.name for algorithm in built_in if algorithm.variant_of is None} <= gated
    assert {cell.models.extract for cell in cells if cell.models.widths is not None} == {"static", "rolling", "random"}
    assert any(isinstance(cell.models.arch, list) for cell in cells)
    assert {cell.dataset.name for cell in cells} == {"digits", "fmnist", "cifar10-small"}


def test_every_suite_has_a_reference_of_five_seeds_that_names_no_machine() -> None:
    for suite in SUITES:
        file = REFERENCES / f"{load_suite(suite).name}.json"
        assert len(json.loads(file.read_text())["seeds"]) >= 5
        assert not any(mark in file.read_text() for mark in ("/home", "/work", "/tmp", "/root"))


# -- updating, and what is refused ------------------------------------------------------------------------------------

TINY = """\
suite: tiny
grid: {algorithm: [fedavg], seed: [0, 1, 2, 3, 4]}
dataset: {name: digits, train: 300, test: 60}
partition: iid
models: mlp
federation: {clients: 2, rounds: 2}
local: {steps: 2, batch: 8, lr: 0.1}
run: {isolation: none}
"""


def test_an_update_writes_the_reference_and_why(call: Call, tmp_path: Path, monkeypatch: Patch) -> None:
    suite, against = tmp_path / "tiny.yaml", tmp_path / "reference"
    suite.write_text(TINY)
    made = call("gate", suite, "--against", against, "--update", "--because", "A first one.")
    assert made.code == 0, made.err
    reference = json.loads((against / "tiny.json").read_text())
    assert (reference["seed"], len(reference["cells"]["fedavg"]["accuracies"])) == ("0", 5)
    assert (against / "history.md").read_text().count("A first one.") == 1
    kept = ["--results", tmp_path / "kept"]
    assert call("gate", suite, "--against", against, *kept).code == 0
    reading = [*WITHOUT_TORCH, "gate", "tiny", "--against", against, *kept]
    ended = subprocess.run(list(map(str, reading)), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")

    first = reference["cells"]["fedavg"]["accuracies"][0]
    for accuracy, code, verdict in ((first - 0.9, 0, "gain"), (first + 0.9, 1, "drop")):
        others = [accuracy + shift for shift in (0, 0.01, -0.01, 0.02, -0.02)]
        reference["cells"]["fedavg"]["accuracies"] = others
        (against / "tiny.json").write_text(json.dumps(reference))
        told = call("gate", "tiny", "--against", against, *kept)
        assert (told.code, f" {verdict} " in told.out) == (code, True), told.out


def test_what_cannot_be_compared_is_refused_in_one_line(call: Call, tmp_path: Path) -> None:
    suite, against = tmp_path / "tiny.yaml", tmp_path / "reference"
    suite.write_text(TINY)
    against.mkdir()

    def refused(*arguments: object) -> str:
        ended = call("gate", *arguments, "--against", against)
        assert ended.code == 2, ended.out
        (line,) = ended.err.splitlines()
        return line

    assert "no reference; make one with --update --because" in refused(suite)
    (against / "tiny.json").write_text("{}")
    assert "not a reference" in refused(suite)
    assert "go together" in refused(suite, "--update")
    assert "go together" in refused(suite, "--because", "Why not.")
    assert "takes a suite file" in refused("tiny", "--update", "--because", "Why not.")
    assert "no results here" in refused(tmp_path, "--results", tmp_path)
    assert "absent.yaml" in refused(tmp_path / "absent.yaml")
    suite.write_text(TINY.replace("2, 3, 4", "2, 3"))
    assert "tiny: 4 seeds; a reference takes the spread of at least 5" in refused(suite, "--update", "--because", "x")
    suite.write_text(TINY)
    shutil.copy(REFERENCES / "gate-digits.json", against / "tiny.json")
    assert "the reference is about seed 0 alone; leave the seed out" in refused(suite, "--only", "seed=1")
    assert "'fedavg' is another cell than the reference's" in refused(suite)
    shutil.copy(REFERENCES / "gate-widths.json", against / "tiny.json")
    assert "the reference of gate-widths has no 'fedavg'" in refused(suite)
