"""Generators beside clients' data: what each term of their loss does, and which clients they survive."""

import copy

import pytest
import torch
from support import cell, federation, separable
from torch import nn

from baselines.blocks import freeze_
from baselines.client_generators import (
    GeneratorObjective,
    GeneratorSettings,
    OwnDiscriminator,
    average_generators_,
    balanced_positions,
    client_generator,
    discriminator_of,
    generator_terms,
    train_generator_,
)
from mosaic_bench.models import DCGANDiscriminator

QUICK = {"generator_steps": 3, "generator_batch": 12, "generator_base": 4, "discriminator_base": 4, "latent": 8}
CELL = cell(models={"arch": "resnet8", "width": 0.25}, local__augment="standard")


def _settings(**changes: object) -> GeneratorSettings:
    return GeneratorSettings(**{**QUICK, **changes})


def test_held_classes_come_from_counts() -> None:
    """The published code compares class ids with 0, so class 0 never counts and all others always do."""
    counts = torch.tensor([4999, 0, 0, 5000])
    assert torch.nonzero(counts > 0).flatten().tolist() == [0, 3]
    even = torch.log(torch.tensor([[0.5, 0.0, 0.0, 0.5], [0.5, 1e-9, 1e-9, 0.5]]))
    assert float(generator_terms(even, counts > 0)[1]) == pytest.approx(0, abs=1e-6)


def test_diversity_is_the_divergence_from_even_classes_and_finite_for_certain_ones() -> None:
    held = torch.tensor([True, True, False, True])
    certain = 1000 * torch.eye(4)[[0, 1, 3]]
    entropy, diversity = generator_terms(certain, held)
    assert float(entropy) == pytest.approx(0, abs=1e-6)
    assert float(diversity) == pytest.approx(0, abs=1e-5)
    collapsed = (1000 * torch.eye(4)[[0, 0, 0]]).requires_grad_()
    entropy, diversity = generator_terms(collapsed, held)
    assert float(diversity.detach()) == pytest.approx(torch.log(torch.tensor(3.0)).item(), rel=1e-4)
    (entropy + diversity).backward()
    assert bool(torch.isfinite(collapsed.grad).all())
    assert float(generator_terms(torch.randn(5, 4), held.new_tensor([False, False, True, False]))[1]) == 0


def test_entropy_is_that_of_single_images() -> None:
    everywhere = torch.zeros(6, 4)
    assert float(generator_terms(everywhere, torch.ones(4, dtype=torch.bool))[0]) == pytest.approx(1.386294, rel=1e-5)


@pytest.mark.parametrize("term", ["entropy_weight", "diversity_weight", "inversion_weight"])
def test_every_term_has_a_gradient_and_a_weight_of_its_own(term: str) -> None:
    fed = federation(CELL)
    model, held = fed.model(), torch.ones(4, dtype=torch.bool)
    freeze_(model)
    weights = dict.fromkeys(("entropy_weight", "diversity_weight", "inversion_weight"), 0.0)
    gradients = []
    for weight in (0.0, 1.0, 2.0):
        images = torch.randn(12, 1, 12, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
        loss = GeneratorObjective(model, held, _settings(**{**weights, term: weight}), small=True)(images)
        if weight:
            loss.backward()
            gradients.append(images.grad)
        else:
            assert float(loss) == 0
    assert float(gradients[0].abs().sum()) > 0
    torch.testing.assert_close(gradients[1], 2 * gradients[0])


def test_inversion_is_for_small_clients_with_batch_norm_only() -> None:
    fed, held = federation(CELL), torch.ones(4, dtype=torch.bool)
    images = torch.randn(8, 1, 12, 12)
    settings = _settings(entropy_weight=0.0, diversity_weight=0.0, inversion_weight=1.0)
    model = fed.model().eval()
    assert float(GeneratorObjective(model, held, settings, small=True)(images)) > 0
    assert float(GeneratorObjective(model, held, settings, small=False)(images)) == 0
    without = federation(cell()).model().eval()
    assert float(GeneratorObjective(without, held, settings, small=True)(images)) == 0


def _train(fed, client_part, settings: GeneratorSettings) -> tuple[nn.Module, nn.Module, dict]:
    """Train one generator; returns it, its discriminator and the classifier's state before."""
    generator = fed.module("generator", lambda: client_generator(fed.task, settings))
    model = fed.model()
    freeze_(model)
    before = copy.deepcopy(model.state_dict())
    judge = discriminator_of(fed, 0, model, settings)
    fed.map(
        lambda data: train_generator_(fed, generator, judge, model, client_part(data), settings, fed.rng("test")),
        [0],
        "generators",
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return generator, judge, before


def _federation(**changes: object):
    return federation(cell(models={"arch": "resnet8", "width": 0.25}, **changes), reveals=frozenset({"generators"}))


class Part:
    """The first images of a client that have one of some labels, with a client's interface."""

    def __init__(self, data, labels: list[int], n: int) -> None:
        among = torch.isin(data.labels, torch.tensor(labels))
        self._data, self._chosen = data, torch.nonzero(among).flatten()[:n]
        self.labels, self.samples = data.labels[self._chosen], len(self._chosen)
        self.counts = torch.bincount(self.labels, minlength=len(data.counts))

    def images(self, positions: torch.Tensor) -> torch.Tensor:
        return self._data.images(self._chosen[positions])


@pytest.mark.parametrize("discriminator", ["separate", "own"])
@pytest.mark.parametrize(("labels", "n"), [([0], 20), ([0, 3], 40), ([2], 1), ([0, 1, 2, 3], 3)])
def test_one_class_and_tiny_clients_train_to_finite_generators(discriminator: str, labels: list[int], n: int) -> None:
    settings = _settings(discriminator=discriminator)
    generator, _, _ = _train(_federation(), lambda data: Part(data, labels, n), settings)
    images = generator(torch.randn(8, 8))
    assert not generator.training
    assert bool(torch.isfinite(images).all())
    assert float(images.detach().std(0).max()) > 0


@pytest.mark.parametrize("network", ["upsampling", "dcgan"])
def test_generated_images_lie_exactly_in_the_range_of_real_ones(network: str) -> None:
    fed = federation(cell(), separable())
    generator = client_generator(fed.task, _settings(generator_network=network))
    assert generator(torch.randn(2, 8)).shape == (2, 1, 12, 12)
    low, high = (fed.task.from_pixels(torch.full((1, 1, 1, 1), value, dtype=torch.uint8)) for value in (0, 255))
    output = generator.layers[-1](torch.tensor([-100.0, 100.0]).view(1, 1, 1, 2))
    torch.testing.assert_close(output.flatten(), torch.cat([low, high]).flatten())


def test_the_own_model_becomes_the_discriminator_and_its_frozen_copy_stays() -> None:
    _, judge, before = _train(_federation(), lambda data: data, _settings(discriminator="own"))
    assert isinstance(judge, OwnDiscriminator)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in judge.model.state_dict().items())
    logits = torch.randn(3, 4)
    odds = torch.logsumexp(logits, 1)  # a class "generated" with logit 0 beside the others
    torch.testing.assert_close(odds.sigmoid(), 1 - torch.cat([logits, torch.zeros(3, 1)], 1).softmax(1)[:, -1])
    _, judge, _ = _train(_federation(), lambda data: data, _settings())
    assert isinstance(judge, DCGANDiscriminator)


def test_classes_are_drawn_evenly_or_as_they_are_held() -> None:
    labels = torch.tensor([0] * 900 + [1] * 100)
    random = federation(cell()).rng("balance")
    for balance, share in ((0.0, 0.1), (0.5, 0.25), (1.0, 0.5)):
        drawn = labels[balanced_positions(labels, 20_000, balance, random)]
        assert float(drawn.float().mean()) == pytest.approx(share, abs=0.015)


def test_averaging_generators_weighs_parameters_and_statistics_by_samples() -> None:
    fed = _federation()
    generators = [fed.module(f"g{k}", lambda: client_generator(fed.task, _settings())) for k in range(2)]
    states = [copy.deepcopy(generator.state_dict()) for generator in generators]
    average_generators_(generators, [30, 10])
    for name, tensor in generators[0].state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * states[0][name] + 0.25 * states[1][name])
            assert torch.equal(tensor, generators[1].state_dict()[name])
