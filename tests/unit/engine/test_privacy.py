"""How near generated images come to a client's own: neutral where nothing is remembered, extreme for copies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from support import describe, jobs_of, run_until, separable
from torch import Tensor

from baselines.fedavg import FedAvg
from mosaic_bench.api import ClientData, register
from mosaic_bench.data.device import DeviceImages
from mosaic_bench.engine.cell_run import Diverged
from mosaic_bench.engine.privacy import SAMPLES, leakage, matched, privacy


def pixels(*values: float) -> Tensor:
    """Images of one pixel."""
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def test_a_hand_worked_case() -> None:
    """Generated 0, 1, 10; members 1, 9; others 7, 3. Nearest members at 1, 0, 1; nearest others at 3, 2, 3."""
    assert leakage(pixels(0, 1, 10), members=pixels(1, 9), others=pixels(7, 3)) == (pytest.approx(1 / 3), 1.0)
    # Members 1, 7 and others 9, 3: they lie 0, 3 and 1, 2 away from what was generated; two of four pairs are right.
    assert leakage(pixels(0, 1, 10), members=pixels(1, 7), others=pixels(9, 3)) == (pytest.approx(1 / 2), 0.5)


def test_copies_are_told_from_held_out_images() -> None:
    draw = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, 50, 1, 4, 4, generator=draw)
    assert leakage(own, own, other) == (0.0, 1.0)


def test_what_lies_as_near_to_both_tells_nothing() -> None:
    """Others are the mirror images of members, and so is the generator of itself."""
    own = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    made = torch.randn(30, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert leakage(torch.cat([made, -made]), own, -own) == (pytest.approx(1), pytest.approx(0.5))


def test_members_and_others_are_of_the_same_classes() -> None:
    own = torch.tensor([0] * 500 + [1] * 30 + [2] * 5)
    held = torch.tensor([1] * 4 + [0] * 1000 + [3] * 9)
    mine, theirs = matched(own, held, torch.Generator().manual_seed(0))
    assert torch.equal(own[mine].sort().values, held[theirs].sort().values)
    assert len(set(mine.tolist())) == len(mine)
    assert len(set(theirs.tolist())) == len(theirs)
    assert 0.8 * SAMPLES < len(mine) <= SAMPLES
    assert 2 not in own[mine]


def test_means_over_the_clients_that_can_be_measured() -> None:
    data = separable()
    train = DeviceImages(data.train, data, "cpu")
    by_class = [torch.nonzero(train.labels == label).flatten() for label in range(4)]
    clients = [by_class[0][:30], by_class[1][:30]]
    held = train, by_class[0][30:]  # none of the second client's class
    copies = {0: train.batch(clients[0]), 1: train.batch(clients[1])}
    assert privacy(copies, train, clients, held, seed=0) == {"privacy/nearest": 0.0, "privacy/membership": 1.0}
    assert privacy({1: copies[1]}, train, clients, held, seed=0) == {}
    assert privacy({}, train, clients, held, seed=0) == {}


@register("copying", paper="none")
class Copying(FedAvg):
    """FedAvg whose clients hand out what they hold, or noise, or what a broken generator makes of it."""

    reveals = frozenset({"images"})
    noise = breaks = False

    def setup(self) -> None:
        super().setup()
        self.generator = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(self.generator.bias)

    def step(self, t: int) -> None:
        super().step(t)
        if self.breaks:
            torch.nn.init.constant_(self.generator.bias, float("nan"))

    def samples(self, n: int) -> Mapping[int, Tensor]:
        def first(data: ClientData) -> Tensor:
            return data.images()[torch.arange(n) % data.samples]

        images = self.fed.map(first, range(self.fed.clients), "images")
        return {k: each * (not self.noise) + self.generator.bias for k, each in images.items()}


SUITE = """
suite: tiny
grid: {algorithm: [copying], seed: [0]}
dataset: {name: digits, train: 500, test: 300}
partition: {dirichlet: {alpha: 0.5}}
models: mlp
federation: {clients: 3, rounds: 1, validation: VALIDATION}
local: {steps: 1, batch: 16, lr: 0.05}
"""


@pytest.mark.parametrize("validation", ["0.3", "0"])
def test_a_cell_ends_with_what_its_generators_give_away(
    tmp_path: Path, validation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against validation images, or test images where there are none."""
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("VALIDATION", validation))
    [job] = jobs_of(tmp_path / "tiny.yaml", [])
    found = {}
    for noise in (False, True):
        monkeypatch.setattr(Copying, "noise", noise)
        cell = describe(job, tmp_path / str(noise), [])
        run_until(cell, [])
        found[noise] = cell.steps()[-1]["metrics"]
    assert found[False]["privacy/nearest"] == 0
    assert found[False]["privacy/membership"] > 0.99
    assert found[True]["privacy/nearest"] == pytest.approx(1, abs=0.1)
    assert found[True]["privacy/membership"] == pytest.approx(0.5, abs=0.1)


def test_a_generator_that_broke_in_the_last_step_has_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Copying, "breaks", True)
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("VALIDATION", "0.3"))
    [job] = jobs_of(tmp_path / "tiny.yaml", [])
    with pytest.raises(Diverged, match=r"generator.* is no longer finite after step 1 of 1"):
        run_until(describe(job, tmp_path / "cell", []), [])
