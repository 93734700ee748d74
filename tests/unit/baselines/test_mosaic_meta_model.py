"""Meta models: what they say before training, what permuting the experts does, and how training counts."""

from math import ceil

import pytest
import torch
import torch.nn.functional as F
from support import cell, federation

from baselines.meta_model import ExponentialAverage, MetaModel, MetaSettings, PublishedMetaModel, train_meta_

TOKENS = torch.randn(40, 10, 10, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 10
HELD = torch.arange(10) != 3
ORDER = torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])


def test_before_training_it_asks_every_expert_about_its_own_class() -> None:
    meta = MetaModel(10)
    torch.testing.assert_close(meta(TOKENS, HELD), F.log_softmax(TOKENS, 2).diagonal(dim1=1, dim2=2))


def _trained() -> MetaModel:
    meta = MetaModel(10)
    with torch.no_grad():
        for parameter in meta.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return meta.eval()


def test_it_knows_which_expert_speaks() -> None:
    meta = _trained()
    said = meta(TOKENS, HELD)
    assert float((meta(TOKENS[:, ORDER], HELD) - said).detach().abs().max()) > 0.1
    torch.testing.assert_close(meta(TOKENS[:, ORDER], HELD[ORDER], ORDER), said, rtol=0, atol=1e-5)


def test_the_published_one_does_not() -> None:
    """Documents why the published fusion cannot be class-specific."""
    meta = PublishedMetaModel(10).eval()
    torch.testing.assert_close(meta(TOKENS[:, ORDER]), meta(TOKENS), rtol=0, atol=1e-5)


def test_a_class_that_nobody_holds_is_marked() -> None:
    meta = _trained()
    assert float((meta(TOKENS, HELD) - meta(TOKENS, ~HELD)).detach().abs().max()) > 1e-3


def _settings(**changes: object) -> MetaSettings:
    return MetaSettings(**{"meta_epochs": 3, "meta_batch": 8, "meta_held_out": 0.0, **changes})


def _random():
    return federation(cell()).rng("meta model test")


@pytest.mark.parametrize("balanced", [True, False])
def test_epochs_pass_over_all_prototypes_and_the_published_ones_over_one_batch(balanced: bool) -> None:
    tokens, labels = TOKENS[:37], LABELS[:37]
    steps = train_meta_(MetaModel(10), tokens, labels, HELD, _settings(meta_balanced=balanced), _random())
    assert steps == 3 * ceil(37 / 8)
    first = _settings(meta_batches="first", meta_balanced=balanced)
    assert train_meta_(MetaModel(10), tokens, labels, HELD, first, _random()) == 3


def test_without_epochs_it_stays_the_read_out() -> None:
    meta = MetaModel(10)
    before = {name: tensor.clone() for name, tensor in meta.state_dict().items()}
    assert train_meta_(meta, TOKENS, LABELS, HELD, _settings(meta_epochs=0), _random()) == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in meta.state_dict().items())


def test_the_initial_weights_keep_their_share_only_without_correction() -> None:
    shares = {}
    for corrected in (True, False):
        module = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(module.weight)
        average = ExponentialAverage(module, 0.99, corrected)
        torch.nn.init.zeros_(module.weight)
        for _ in range(150):
            average.update(module)
        shares[corrected] = float(average.values()["weight"])
    assert shares[True] == 0
    assert shares[False] == pytest.approx(0.99**150, rel=1e-4)  # 22 % of a random network


def test_corrected_averages_of_a_constant_are_the_constant() -> None:
    module = torch.nn.Linear(3, 2)
    average = ExponentialAverage(module, 0.99, corrected=True)
    with pytest.raises(ValueError, match="before the first step"):
        average.values()
    for steps in (1, 5):
        for _ in range(steps):
            average.update(module)
        torch.testing.assert_close(average.values()["weight"], module.weight.detach())


def test_it_learns_which_expert_to_believe() -> None:
    """Every class is named once, so nobody learns anything who doesn't know which expert speaks."""
    random = torch.Generator().manual_seed(2)
    labels = torch.randint(4, (400,), generator=random)
    tokens = 0.1 * torch.randn(400, 4, 4, generator=random)
    for expert in range(4):  # expert c names class (y + c) mod 4
        tokens[torch.arange(400), expert, (labels + expert) % 4] += 3
    held = torch.ones(4, dtype=torch.bool)
    meta = MetaModel(4)
    train_meta_(meta, tokens[:300], labels[:300], held, MetaSettings(meta_epochs=25, meta_batch=32), _random())
    with torch.no_grad():
        predicted = meta(tokens[300:], held).argmax(1)
    assert float((predicted == labels[300:]).float().mean()) > 0.95


def test_it_stops_when_held_out_prototypes_stop_gaining() -> None:
    noise = torch.randn(60, 4, 4, generator=torch.Generator().manual_seed(3))
    labels = torch.randint(4, (60,), generator=torch.Generator().manual_seed(4))
    settings = MetaSettings(meta_epochs=400, meta_batch=16, meta_held_out=0.5, meta_patience=3, meta_lr=0.01)
    steps = train_meta_(MetaModel(4), noise, labels, torch.ones(4, dtype=torch.bool), settings, _random())
    assert steps < 400 * 2
