"""FedProx: what its proximal term does to local training."""

import pytest
import torch
from support import cell, do_steps, federation, started

from baselines.fedavg import FedAvg
from baselines.fedprox import FedProx


def _distance_after_training(mu: float) -> float:
    fed = federation(cell(local__steps=10))
    algorithm = started(FedProx, fed, mu=mu)
    received = list(fed.broadcast(algorithm.servers, [0]))
    [update] = fed.train(received, algorithm._loss).keep()
    return float(sum((update.state[name] - value).square().sum() for name, value in received[0].state.items()))


def test_without_the_term_it_is_fedavg_bit_for_bit() -> None:
    states = []
    for algorithm in (started(FedAvg, federation(cell())), started(FedProx, federation(cell()), mu=0.0)):
        do_steps(algorithm, 2)
        states.append(algorithm.servers["cnn"].state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_larger_term_keeps_clients_nearer_to_what_they_received() -> None:
    distances = [_distance_after_training(mu) for mu in (0.0, 1.0, 10.0)]
    assert distances[0] > distances[1] > distances[2] > 0


def test_the_first_step_is_plain_sgd_and_the_second_is_pulled_back_by_mu() -> None:
    """After one step of SGD the gradient of the term is mu times the distance moved."""
    mu, lr = 0.5, 0.05
    moved = []
    for strength in (0.0, mu):
        fed = federation(cell(local={"steps": 2, "batch": 16, "lr": lr}))
        algorithm = started(FedProx, fed, mu=strength)
        [update] = fed.train(fed.broadcast(algorithm.servers, [0]), algorithm._loss).keep()
        moved.append(update.state["head.weight"])
    fed = federation(cell(local={"steps": 1, "batch": 16, "lr": lr}))
    [once] = fed.train(fed.broadcast(fed.models(), [0])).keep()
    first = once.state["head.weight"] - fed.model().state_dict()["head.weight"]
    torch.testing.assert_close(moved[1] - moved[0], -lr * mu * first, rtol=1e-3, atol=1e-7)


def test_a_negative_term_is_refused() -> None:
    with pytest.raises(ValueError, match="mu"):
        FedProx.Params(mu=-1)
