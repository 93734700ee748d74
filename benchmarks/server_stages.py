"""Server stages of ours beside the usual way, for ``benchmarks.speed``: ResNet-8, five clients, 3×32×32."""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baselines.dense import Dense
from baselines.experts import logit_mixing
from baselines.fedftg import FedFTG
from baselines.mosaic import Mosaic
from benchmarks.pairs import Pair, time_pair
from benchmarks.usual_server import usual_dense_epoch, usual_fedftg_round, usual_mosaic_epoch
from mosaic_bench.conformance.federations import federation, started
from mosaic_bench.data import Dataset
from mosaic_bench.suite import Cell

CLIENTS, BATCH, LATENT, BASE, CLASSES = 5, 64, 100, 32, 10


def server_stages(cell: Cell, dataset: Dataset, repeats: int) -> Iterator[tuple[str, Pair]]:
    """Time one epoch or round of every server stage, ours at the cell's precision against the usual fp32."""
    moments = (dataset.mean, dataset.std)
    yield "epoch of DENSE's server", _dense(cell, dataset, moments, repeats)
    yield "round of FedFTG's server", _fedftg(cell, dataset, repeats)
    yield "epoch of Mosaic's distillation", _mosaic(cell, dataset, repeats)


def _dense(cell: Cell, dataset: Dataset, moments: Any, repeats: int) -> Pair:
    fed = federation(cell, dataset, Dense.reveals)
    ours = started(Dense, fed, generator_steps=10, batch=BATCH, latent=LATENT, generator_base=BASE)
    student, teachers, generator = map(_usual, (ours.server, ours.teachers, ours._generator()))
    learner = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9)
    steps = itertools.count(CLIENTS)
    with tempfile.TemporaryDirectory() as folder:

        def other() -> None:
            usual_dense_epoch(
                student, list(teachers.children()), copy.deepcopy(generator).train(), learner, Path(folder), moments,
                steps=10, batch=BATCH, latent=LATENT, classes=CLASSES, temperature=20.0,
            )  # fmt: skip

        return time_pair(lambda: ours.step(next(steps)), other, repeats, usual=True)


def _fedftg(cell: Cell, dataset: Dataset, repeats: int) -> Pair:
    fed = federation(cell, dataset, FedFTG.reveals)
    ours = started(FedFTG, fed, iterations=4, latent=LATENT, generator_base=BASE)
    teachers = [fed.model(client=client).eval().requires_grad_(False) for client in range(CLIENTS)]
    students = list(ours.servers.values())
    student, generator, apart = _usual(students[0]), _usual(ours.generator), [_usual(each) for each in teachers]
    weights = torch.full((CLIENTS, CLASSES), 1 / CLIENTS)
    fed.begin(0)

    def other() -> None:
        usual_fedftg_round(student, apart, generator, weights, iterations=4, student_steps=5, batch=50, latent=LATENT)

    return time_pair(lambda: ours.fuse(0, students, teachers), other, repeats, usual=True)


def _mosaic(cell: Cell, dataset: Dataset, repeats: int) -> Pair:
    fed = federation(cell, dataset, Mosaic.reveals)
    ours = started(Mosaic, fed, latent=LATENT, kd_steps=20, kd_pool=1000, kd_batch=BATCH)
    ours.known = {client: torch.full((CLASSES,), 100) for client in range(CLIENTS)}
    [server] = ours.servers.values()
    student, meta = _usual(server), _usual(ours.meta)
    members, generators = _usual(ours.members), _usual(ours.generators)
    learner = torch.optim.Adam(student.parameters(), lr=1e-3)
    held, mixing = torch.ones(CLASSES, dtype=torch.bool), logit_mixing(ours.counts)

    def other() -> None:
        usual_mosaic_epoch(
            student, list(members.children()), lambda tokens: meta(tokens, held), mixing, list(generators.children()),
            learner, steps=20, batch=BATCH, pool=1000, latent=LATENT,
        )  # fmt: skip

    return time_pair(lambda: ours.distil(0, 0), other, repeats, usual=True)


def _usual(module: nn.Module) -> Any:
    """A copy in the usual memory format."""
    return copy.deepcopy(module).to(memory_format=torch.contiguous_format)
