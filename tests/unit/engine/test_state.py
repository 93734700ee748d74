import collections
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from support import cell, federation, started

from mosaic_bench.api import Algorithm
from mosaic_bench.engine.checkpoint import load_checkpoint, save_checkpoint
from mosaic_bench.engine.state import StateError, StateKeeper, digest

CPU = torch.device("cpu")


class Everything(Algorithm):
    """Keeps one of each kind of state."""

    name = "everything"

    def setup(self) -> None:
        self.server = self.fed.model()
        self.optimiser = torch.optim.Adam(self.server.parameters())
        self.teachers = {"a": torch.nn.Linear(2, 2), "b": [torch.nn.Linear(2, 2)]}
        self.count, self.note = 0, None
        self.history: list[tuple[int, float]] = []

    def step(self, t: int) -> None:
        late = self.module("late", lambda: torch.nn.Linear(3, 3))
        for parameter in [*self.server.parameters(), *late.parameters(), self.teachers["a"].weight]:
            parameter.data += 1.0 + t
        for parameter in self.server.parameters():
            parameter.grad = torch.ones_like(parameter)
        self.optimiser.step()
        self.count += 1
        self.history.append((t, t / 3))


def test_what_is_kept_comes_back_bit_for_bit(tmp_path: Path) -> None:
    algorithm = started(Everything, federation(cell()))
    keeper = StateKeeper(algorithm)
    algorithm.step(0)
    save_checkpoint(tmp_path / "checkpoint", {"step": 1, "state": keeper.collect()})

    again = started(Everything, federation(cell()))
    resumed = StateKeeper(again)
    content = load_checkpoint(tmp_path / "checkpoint", CPU)
    assert content is not None
    resumed.restore(content["state"])
    assert again.history == [(0, 0.0)]
    assert again.count == 1
    assert torch.equal(again.teachers["a"].weight, algorithm.teachers["a"].weight)

    for each in (algorithm, again):
        each.step(1)
    assert torch.equal(again.late.weight, algorithm.late.weight)
    for first, second in zip(algorithm.server.parameters(), again.server.parameters(), strict=True):
        assert torch.equal(first, second)
    assert str(keeper.collect()) == str(resumed.collect())


class Latents(Algorithm):
    """Optimises tensors that are no module's, alone and inside containers."""

    name = "latents"

    def setup(self) -> None:
        self.parameter = torch.nn.Parameter(torch.ones(3))
        self.codes = {"a": [torch.full((2, 2), 2.0, requires_grad=True)], "b": torch.zeros(1)}
        self.optimiser = torch.optim.SGD([self.parameter, self.codes["a"][0]], lr=0.1, momentum=0.9)

    def step(self, t: int) -> None:
        self.optimiser.zero_grad()
        (self.parameter.square().sum() + self.codes["a"][0].pow(3).sum()).backward()
        self.optimiser.step()
        self.codes["b"] = self.codes["b"] + t


def test_a_tensor_that_an_optimiser_of_setup_holds_goes_on_being_trained(tmp_path: Path) -> None:
    whole, cut, resumed = (started(Latents, federation(cell())) for _ in range(3))
    for t in range(4):
        whole.step(t)
    for t in range(2):
        cut.step(t)
    save_checkpoint(tmp_path / "checkpoint", {"state": StateKeeper(cut).collect()})
    content = load_checkpoint(tmp_path / "checkpoint", CPU)
    assert content is not None
    keeper = StateKeeper(resumed)
    keeper.restore(content["state"])
    for t in range(2, 4):
        resumed.step(t)
    assert digest(keeper.collect()) == digest(StateKeeper(whole).collect())
    assert resumed.optimiser.param_groups[0]["params"][0] is resumed.parameter


def test_a_trained_tensor_that_took_another_form_replaces_what_setup_made() -> None:
    cut, resumed = (started(Latents, federation(cell())) for _ in range(2))
    cut.parameter = torch.nn.Parameter(torch.arange(5.0))
    cut.codes["a"][0] = cut.codes["a"][0].detach()
    StateKeeper(resumed).restore(StateKeeper(cut).collect())
    assert torch.equal(resumed.parameter, torch.arange(5.0))
    assert not resumed.codes["a"][0].requires_grad


def test_empty_tensors_have_a_digest_whatever_their_strides() -> None:
    nobody = torch.from_numpy(np.arange(10)[np.arange(0)])
    assert nobody.stride() == (0,)
    assert digest(nobody) == digest(torch.arange(0))
    assert digest(nobody) != digest(torch.zeros(0))


def test_a_module_that_waits_to_be_rebuilt_survives_another_checkpoint() -> None:
    algorithm = started(Everything, federation(cell()))
    keeper = StateKeeper(algorithm)
    algorithm.step(0)
    state = keeper.collect()
    waiting = started(Everything, federation(cell()))
    second = StateKeeper(waiting)
    second.restore(state)
    assert torch.equal(second.collect()["late"]["state"]["weight"], state["late"]["state"]["weight"])


@dataclasses.dataclass
class Plain:
    x: int = 0


@pytest.mark.parametrize("value", [np.float64(1), np.zeros(2), collections.deque([1]), Plain(), {1, 2}, lambda: 0])
def test_what_a_checkpoint_cannot_hold_is_refused_by_name(value: object) -> None:
    algorithm = started(Everything, federation(cell()))
    keeper = StateKeeper(algorithm)
    algorithm.history = [value]  # type: ignore[list-item]
    with pytest.raises(StateError, match=r"self\.history\[0\]"):
        keeper.collect()


def test_an_optimiser_made_after_setup_is_refused_by_name() -> None:
    algorithm = started(Everything, federation(cell()))
    keeper = StateKeeper(algorithm)
    algorithm.extra = torch.optim.SGD(algorithm.server.parameters(), lr=0.1)  # type: ignore[attr-defined]
    with pytest.raises(StateError, match=r"self\.extra was made after setup"):
        keeper.collect()


def linears(count: int) -> list[torch.nn.Linear]:
    return [torch.nn.Linear(2, 2) for _ in range(count)]


@pytest.mark.parametrize("teachers", [{"a": 1, "b": 2}, {"a": 1}, {"c": 1, "b": 1}])
def test_modules_at_other_places_than_after_setup_are_refused(teachers: dict[str, int]) -> None:
    algorithm = started(Everything, federation(cell()))
    keeper = StateKeeper(algorithm)
    algorithm.teachers = {name: linears(count) if name == "b" else linears(1)[0] for name, count in teachers.items()}
    with pytest.raises(StateError, match=r"self\.teachers holds \d modules or optimisers, and 2 or others after setup"):
        keeper.collect()


def test_other_modules_at_the_places_of_setup_are_kept() -> None:
    algorithm = started(Everything, federation(cell()))
    keeper = StateKeeper(algorithm)
    algorithm.teachers = {"a": linears(1)[0], "b": linears(1)}
    assert keeper.collect()["teachers"]


def test_a_save_that_could_not_be_loaded_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    save_checkpoint(file, {"step": 1, "state": {"x": torch.ones(2)}})
    with pytest.raises(TypeError, match=r"self\.y"):
        save_checkpoint(file, {"step": 2, "state": {"x": torch.ones(2), "y": Plain()}})
    content = load_checkpoint(file, CPU)
    assert content is not None
    assert content["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, ("pwned",))


def test_a_checkpoint_from_a_stranger_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"step": 3, "state": Payload()}, tmp_path / "checkpoint")
    assert load_checkpoint(tmp_path / "checkpoint", CPU) is None
    (tmp_path / "plain").write_bytes(pickle.dumps(Payload()))
    assert load_checkpoint(tmp_path / "plain", CPU) is None
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_checkpoint_counts_as_none(tmp_path: Path, keep: float) -> None:
    file = tmp_path / "checkpoint"
    save_checkpoint(file, {"step": 1, "state": {"x": torch.ones(500)}})
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    assert load_checkpoint(file, CPU) is None


def test_what_was_not_measured_leaves_a_norm_that_equals_itself() -> None:
    algorithm = started(Everything, federation(cell()))
    algorithm.curve = {0: torch.tensor([3.0, float("nan"), 4.0]), 1: torch.tensor([float("inf")])}  # type: ignore[attr-defined]
    norms = StateKeeper(algorithm).norms()
    found = {name: norm for name, norm in norms.items() if name.startswith("curve")}
    assert sorted(found.values()) == [5.0, float("inf")]
