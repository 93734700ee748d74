import pytest
import torch
import torch.nn.functional as F
from support import cell, do_steps, federation, started

from baselines.fedavg import FedAvg
from mosaic_bench.api import Algorithm
from mosaic_bench.models import Classifier


def _server(algorithm: Algorithm) -> Classifier:
    (model,) = algorithm.servers.values()
    return model


@pytest.mark.parametrize("arch", ["cnn", "resnet8"])
def test_one_client_equals_centralised_sgd_on_the_same_batches(arch: str) -> None:
    chosen = cell(
        federation={"clients": 1, "rounds": 3}, models={"arch": arch, "width": 0.25}, local__weight_decay=1e-3
    )
    algorithm = started(FedAvg, federation(chosen))
    do_steps(algorithm, 3)

    fed = federation(chosen, reveals=frozenset({"model"}))
    model = fed.model().train()
    sgd = torch.optim.SGD(model.parameters(), lr=chosen.local.lr, weight_decay=chosen.local.weight_decay)
    for t in range(3):

        def train(data, t=t) -> None:  # type: ignore[no-untyped-def]
            batches = data.batches(chosen.local.batch, t)
            for _ in range(chosen.local.steps):
                images, labels = next(batches)
                sgd.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                sgd.step()

        fed.map(train, [0], "model")
    for name, tensor in _server(algorithm).state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-6, atol=1e-6, msg=name)


def test_bytes_are_state_bytes_times_cohort_times_rounds_both_ways() -> None:
    algorithm = started(FedAvg, federation(cell(federation={"clients": 4, "rounds": 3, "participation": 0.5})))
    do_steps(algorithm, 3)
    state = sum(t.numel() * t.element_size() for t in _server(algorithm).state_dict().values())
    counts = algorithm.fed.ledger.counts()
    assert counts["bytes_down"] == counts["bytes_up"] == {"model": state * 2 * 3}


def test_the_average_weighs_clients_by_their_samples_unless_told_otherwise() -> None:
    """Quantity-skewed clients: the global head is the n-weighted mean of the clients' heads, or the plain one."""
    skew = {"partition": {"quantity": {"alpha": 0.5}}}
    for weighting in ("samples", "uniform"):
        chosen = cell(**skew, federation={"clients": 3, "rounds": 1, "weighting": weighting})
        fed = federation(chosen)
        updates = fed.train(fed.broadcast(fed.model(), range(3))).keep()
        sizes = [update.samples for update in updates]
        assert len(set(sizes)) > 1
        weights = sizes if weighting == "samples" else [1, 1, 1]
        expected = sum(w * u.state["head.weight"].double() for w, u in zip(weights, updates, strict=True)) / sum(
            weights
        )
        algorithm = started(FedAvg, federation(chosen))
        do_steps(algorithm, 1)
        torch.testing.assert_close(_server(algorithm).state_dict()["head.weight"].double(), expected, rtol=0, atol=1e-7)
