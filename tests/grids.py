"""Grids of cells that share steps, run one after the other in this process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from support import describe, exact

from baselines.fedavg import FedAvg
from mosaic_bench.api import Algorithm, Hyperparameters, Predictors, Stage, parameter, register
from mosaic_bench.engine.cell_run import CellRun, run_cell
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.resolve import resolve
from mosaic_bench.engine.stages import plan_sharing, write_plan
from mosaic_bench.store import CellFolder, State
from mosaic_bench.suite import load_suite

GIGABYTE = 10**9

SUITE = """\
suite: shared
grid:
  algorithm: ALGORITHMS
dataset: {name: digits, train: 300, test: 60}
partition: {dirichlet: {alpha: 0.5}}
models: {arch: cnn, width: 0.25}
federation: {clients: 3, rounds: 4, participation: 0.7, validation: 0.1}
local: {steps: 3, batch: 16, lr: 0.05, momentum: 0.9, augment: standard}
evaluate: {every: 2, local: own}
"""

SMALL = {"server_epochs": 2, "generator_steps": 2, "generator_base": 4, "latent": 8, "batch": 8}
SIX = [
    {"name": "dense", "params": SMALL | variant}
    for variant in (
        {"student_lr": 0.1},
        {"student_lr": 0.05, "student_momentum": 0.0},
        {"ce_weight": 0.0},
        {"div_weight": 0.0},
        {"generator_steps": 3},
        {"temperature": 1.0},
    )
]


@register("warm", paper="none")
class Warm(Algorithm):
    """Rounds of FedAvg, then one round at a lower rate that variants share, then others."""

    class Params(Hyperparameters):
        """Hyper-parameters."""

        warmup: int = parameter(1, unit="rounds", source="none", ge=0)
        calm: float = parameter(0.01, unit="1", source="none", gt=0)
        end: float = parameter(0.001, unit="1", source="none", gt=0)

    @classmethod
    def stages(cls, params: Params, rounds: int, cohort: int) -> Sequence[Stage]:
        calm = Stage(Warm, "calm", 1, keeps=("servers", "calmed"), params={"lr": params.calm})
        return [*FedAvg.stages(FedAvg.Params(), params.warmup, cohort), calm]

    def setup(self) -> None:
        self.servers = self.fed.models()
        self.calmed: list[int] = []
        self.end = [self.params.end]  # differs between variants; no stage keeps it

    def step(self, t: int) -> None:
        warm, calm = t < self.params.warmup, t == self.params.warmup
        self.calmed += [t] * calm
        lr = None if warm else self.params.calm if calm else self.end[0]
        self.fed.average_(self.servers, self.fed.train(self.fed.broadcast(self.servers, self.fed.cohort(t)), lr=lr))

    def predictors(self) -> Predictors:
        return {"server": self.servers}


class Grid:
    """The cells of one suite in a folder, run one after the other in this process."""

    def __init__(self, path: Path, algorithms: Sequence[object], share: int = GIGABYTE, text: str = SUITE) -> None:
        path.mkdir(parents=True)
        file = path / "shared.yaml"
        file.write_text(text.replace("ALGORITHMS", json.dumps(algorithms)))
        datasets = Datasets([])
        self.jobs = resolve(load_suite(file), datasets)
        self.cells = [describe(job, path / "results/cells", []) for job in self.jobs]
        self.prefixes = path / "results/prefixes"
        self.plan = plan_sharing(self.jobs, datasets)
        self._share = share
        if share:
            write_plan(self.prefixes, self.plan)

    def run(self) -> Grid:
        """Run every cell to its end."""
        for cell in self.cells:
            assert self.run_one(cell) is State.DONE
        return self

    def run_one(self, cell: CellFolder, **how: Any) -> State:
        torch.set_num_threads(1)
        return run_cell(cell, CellRun([], torch.device("cpu"), prefixes=self._share, **how))

    def numbers(self) -> list[tuple[Any, bytes]]:
        return [(exact(cell.steps()), cell.read_correct()) for cell in self.cells]

    def fates(self, cell: CellFolder | None = None) -> Counter[str]:
        """How often a prefix was made, taken and so on, from the logs."""
        logs = [each.log.read_text() for each in ([cell] if cell else self.cells) if each.log.exists()]
        return Counter(line.rpartition(": ")[2].split()[0].strip(",") for line in "".join(logs).splitlines())

    def files(self) -> list[Path]:
        return sorted(self.prefixes.glob("*.pt"))
