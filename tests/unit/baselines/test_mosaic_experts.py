"""Class-wise experts: who has a say, what happens to classes nobody holds, and when both kinds of mixing agree."""

import pytest
import torch
from support import cell, do_steps, federation, separable, started
from torch import nn

from baselines.experts import Experts, average_experts_, logit_mixing
from baselines.labels import class_weights
from baselines.mosaic import Mosaic

COUNTS = torch.tensor([[4999, 0, 0, 5000], [1, 30, 0, 0], [0, 10, 0, 5000]])
HELD = COUNTS.sum(0) > 0
SLICED = {"arch": "cnn", "norm": "none", "widths": [1.0, 0.5, 0.25], "extract": "rolling"}


class Fixed(nn.Module):
    """Gives its own logits (C,) to every image."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def test_shares_of_holders_sum_to_one_and_others_have_none() -> None:
    mixing = logit_mixing(COUNTS)
    torch.testing.assert_close(mixing.sum(1), torch.ones(4))
    for label in torch.nonzero(HELD).flatten():
        assert torch.equal(mixing[label] > 0, COUNTS[:, label] > 0)
    weights = class_weights(COUNTS)
    assert torch.equal(weights.sum(0) > 0, HELD)
    torch.testing.assert_close(mixing[0], torch.tensor([4999 / 5000, 1 / 5000, 0.0]))


def test_the_expert_of_a_class_that_nobody_holds_is_the_sample_weighted_mean() -> None:
    logits = torch.randn(3, 4)
    experts = Experts(map(Fixed, logits), logit_mixing(COUNTS), HELD, calibrated=False)
    said = experts(torch.zeros(2, 1))
    samples = COUNTS.sum(1).float()
    torch.testing.assert_close(said[0, 2], (samples / samples.sum()) @ logits)
    assert experts.held.tolist() == [True, True, False, True]
    assert bool(torch.isfinite(said).all())


def test_one_client_and_identical_clients_are_every_expert() -> None:
    logits = torch.randn(4)
    for counts in (torch.tensor([[3, 0, 2, 1]]), COUNTS):
        members = [Fixed(logits) for _ in counts]
        said = Experts(members, logit_mixing(counts), counts.sum(0) > 0, calibrated=False)(torch.zeros(1, 1))
        torch.testing.assert_close(said[0], logits.expand(4, -1))


def _updates(models: object, steps: int = 2, t: int = 0, norm: str = "none") -> tuple:
    spec = models if models else {"arch": "cnn", "norm": norm, "width": 0.25}
    fed = federation(cell(models=spec), separable())
    fed.begin(t)
    server = fed.model()
    return fed, server, fed.train(fed.broadcast(server, fed.cohort(0)), steps=steps).keep()


def test_averaging_whole_models_weighs_by_class_counts_and_falls_back_for_classes_nobody_holds() -> None:
    fed, _, updates = _updates(None, norm="batch")
    experts = [fed.model() for _ in range(4)]
    average_experts_(fed, experts, fed.model(), updates, COUNTS)
    weights = class_weights(COUNTS).double()
    weights[:, 2] = COUNTS.sum(1) / COUNTS.sum()
    for label, expert in enumerate(experts):
        for name, tensor in expert.state_dict().items():
            if tensor.is_floating_point():
                states = torch.stack([update.state[name].double() for update in updates])
                expected = torch.tensordot(weights[:, label], states, 1).float()
                torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-7)


def test_coordinates_that_no_holder_covers_are_those_of_the_average_of_all() -> None:
    fed, server, updates = _updates(SLICED, t=3)
    counts = torch.tensor([[9, 0, 0, 1], [0, 5, 0, 1], [0, 0, 7, 1]])  # class 2: the narrowest client alone
    experts = [fed.model() for _ in range(4)]
    average_experts_(fed, experts, fed.model(), updates, counts)
    fed.average_(server, updates, {update.client: float(n) for update, n in zip(updates, counts.sum(1), strict=True)})
    narrow = updates[2]
    for name, tensor in experts[2].state_dict().items():
        covered = torch.zeros_like(tensor, dtype=torch.bool)
        covered[narrow.slice.indices(name)] = True
        assert torch.equal(tensor[~covered], server.state_dict()[name][~covered])
        assert torch.equal(tensor[narrow.slice.indices(name)], narrow.state[name])


def test_coordinates_that_nobody_covers_are_those_of_the_global_model() -> None:
    narrow = {**SLICED, "width": 0.25, "widths": [0.5, 0.5, 0.5]}
    fed = federation(cell(models=narrow, federation={"clients": 3, "rounds": 4}), separable(), Mosaic.reveals)
    mosaic = started(Mosaic, fed, **Mosaic.conformance_params, experts="parameters")
    do_steps(mosaic, 4)
    server, fresh = mosaic.servers["cnn"].head.weight, fed.model().head.weight
    [received, *_] = fed.broadcast(mosaic.servers, [0])
    covered = torch.zeros(server.shape[1], dtype=torch.bool)
    covered[received.slice.feature_index] = True
    assert not torch.equal(server[:, ~covered], fresh[:, ~covered])  # earlier rounds trained them
    for expert in mosaic.averaged:
        assert torch.equal(expert.head.weight[:, ~covered], server[:, ~covered])
        assert not torch.equal(expert.head.weight[:, covered], server[:, covered])


def test_for_a_linear_model_mixing_logits_is_mixing_parameters() -> None:
    members = [nn.Linear(6, 4) for _ in range(3)]
    mixing, x = logit_mixing(COUNTS), torch.randn(5, 6)
    by_logits = Experts(members, mixing, HELD, calibrated=False)(x)
    averaged = []
    for row in mixing:
        model = nn.Linear(6, 4)
        mean = {
            key: sum(w * m.state_dict()[key] for w, m in zip(row, members, strict=True)) for key in ("weight", "bias")
        }
        model.load_state_dict(mean)
        averaged.append(model)
    by_parameters = Experts(averaged, torch.eye(4), HELD, calibrated=False)(x)
    torch.testing.assert_close(by_logits, by_parameters, rtol=0, atol=1e-5)


@pytest.mark.parametrize("calibrated", [True, False])
def test_what_members_say_determines_what_experts_say_also_under_autocast(calibrated: bool) -> None:
    experts = Experts([nn.Linear(6, 4) for _ in range(3)], logit_mixing(COUNTS), HELD, calibrated)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        outputs, said = experts.outputs(torch.ones(2, 6)), experts(torch.ones(2, 6))
    assert outputs.dtype == said.dtype == torch.float32
    torch.testing.assert_close(said, experts.tokens(outputs))
    if calibrated:
        torch.testing.assert_close(outputs.exp().sum(2), torch.ones(2, 3))
