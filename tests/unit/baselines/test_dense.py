"""DENSE's oracles: one upload per client, frozen teachers, the size of the pool, warnings."""

import pytest
import torch
from support import cell, do_steps, equal_states, federation, started

from baselines.blocks import watched_batch_norms
from baselines.dense import Dense
from mosaic_bench.api import Algorithm

SMALL = {"server_epochs": 2, "generator_steps": 3, "generator_base": 4, "latent": 8, "batch": 12}
CELL = cell(models={"arch": "resnet8", "width": 0.25})


def _dense(**params: object) -> Algorithm:
    return started(Dense, federation(CELL), **{**SMALL, **params})


def test_every_client_uploads_its_model_once_and_nothing_else() -> None:
    dense = _dense()
    do_steps(dense, dense.steps)
    state = sum(t.numel() * t.element_size() for t in dense.server.state_dict().values())
    assert dense.fed.ledger.counts()["bytes_up"] == {"model": 3 * state}
    assert dense.fed.ledger.counts()["bytes_down"] == {"model": 3 * state}


def test_the_local_budget_is_the_suites_rounds_spent_at_once() -> None:
    dense = _dense()
    do_steps(dense, 3)
    assert dense.fed.ledger.samples == 3 * CELL.federation.rounds * 3 * 16
    epochs = _dense(local_epochs=2)
    do_steps(epochs, 3)
    assert epochs.fed.ledger.samples == 2 * 240


def test_the_tail_of_rounds_leaves_the_clients_rate_alone() -> None:
    models, budget = {"arch": "resnet8", "width": 0.25}, {"steps": 3, "batch": 16, "lr": 0.05}
    states = []
    for tail in (None, {"rounds": 1, "factor": 0.01}):
        dense = started(Dense, federation(cell(models=models, local={**budget, "tail": tail})), **SMALL)
        do_steps(dense, 3)
        states.append(dense.teachers.state_dict())
    assert equal_states(*states)


def test_teachers_are_the_clients_models_and_stay_as_they_are() -> None:
    dense = _dense()
    do_steps(dense, 3)
    before = {name: tensor.clone() for name, tensor in dense.teachers.state_dict().items()}
    assert not torch.equal(before["0.head.weight"], before["1.head.weight"])
    student = dense.server.head.weight.clone()
    dense.fed.begin(3)
    dense.step(3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in dense.teachers.state_dict().items())
    assert all(parameter.grad is None for parameter in dense.teachers.parameters())
    assert not torch.equal(dense.server.head.weight, student)


def test_the_pool_grows_by_one_batch_an_epoch_and_belongs_to_the_run() -> None:
    dense, other = _dense(), _dense()
    do_steps(dense, dense.steps)
    assert [tuple(batch.shape) for batch in dense.pool] == [(12, 1, 12, 12)] * 2
    assert all(batch.dtype == torch.uint8 for batch in dense.pool)
    assert not torch.equal(dense.pool[0], dense.pool[1])
    assert other.pool == []


def test_without_batch_norm_the_statistics_term_does_nothing_and_says_so() -> None:
    plain = cell()
    heads = []
    for weight in (0.0, 5.0):
        dense_of = federation(plain)
        if weight:
            with pytest.warns(UserWarning, match="no client model has BatchNorm"):
                dense = started(Dense, dense_of, **SMALL, bn_weight=weight)
        else:
            dense = started(Dense, dense_of, **SMALL, bn_weight=weight)
        do_steps(dense, dense.steps)
        heads.append(dense.server.head.weight.detach())
    assert torch.equal(*heads)


def test_the_statistics_term_pulls_images_towards_the_clients_data() -> None:
    """The distance of the pool from the teachers' running statistics shrinks when the term is on."""
    distances = []
    for weight in (0.0, 10.0):
        dense = _dense(bn_weight=weight, ce_weight=0.0, div_weight=0.0, generator_lr=0.01, generator_steps=40)
        do_steps(dense, dense.steps)
        images = dense.fed.task.from_pixels(dense.pool[0])
        with torch.no_grad(), watched_batch_norms(dense.teachers) as statistics:
            dense.ensemble(images)
            distances.append(float(statistics.take()))
    assert distances[1] < 0.8 * distances[0]
