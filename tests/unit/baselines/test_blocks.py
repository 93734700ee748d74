"""Oracles of the shared losses (exact values, limits, gradients)."""

import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.blocks import (
    LogitEnsemble,
    disagreement,
    distillation_loss,
    diversity_loss,
    inversion_loss,
    mixture,
    watched_batch_norms,
)


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=random), torch.randn(6, 5, generator=random)


def test_distillation_of_equal_logits_is_zero_with_zero_gradient(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    student = logits[0].clone().requires_grad_()
    loss = distillation_loss(student, logits[0] + 3.0, temperature=4.0)  # a shift of all logits changes nothing
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-6


def test_distillation_is_the_kl_divergence_from_the_teacher(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = logits
    p, q = teacher.double().softmax(1), student.double().softmax(1)
    expected = float((p * (p / q).log()).sum(1).mean())
    assert float(distillation_loss(student, teacher)) == pytest.approx(expected, rel=1e-6)


def test_the_squared_temperature_keeps_gradients_of_order_one(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    norms = []
    for temperature in (1.0, 20.0):
        student = logits[0].clone().requires_grad_()
        distillation_loss(student, logits[1], temperature).backward()
        assert student.grad is not None
        norms.append(float(student.grad.norm()))
    assert 0.2 < norms[1] / norms[0] < 5


def test_disagreement_counts_only_images_with_different_predictions() -> None:
    teacher = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    student = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = disagreement(student, teacher)
    second = F.kl_div(F.log_softmax(student[1:], 1), F.log_softmax(teacher[1:], 1), reduction="sum", log_target=True)
    assert float(loss.detach()) == pytest.approx(float(second.detach()) / 2, rel=1e-6)
    loss.backward()
    assert student.grad is not None
    assert float(student.grad[0].abs().sum()) == 0
    assert float(student.grad[1].abs().sum()) > 0


def test_disagreement_about_the_label_needs_exactly_one_of_the_two_to_predict_it() -> None:
    labels = torch.tensor([0, 0, 0, 0])
    teacher = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    student = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    kl = F.kl_div(F.log_softmax(student, 1), F.log_softmax(teacher, 1), reduction="none", log_target=True).sum(1)
    assert float(disagreement(student, teacher, labels)) == pytest.approx(float(kl[1] + kl[2]) / 4, rel=1e-6)
    assert float(disagreement(student, teacher)) == pytest.approx(float(kl[1] + kl[2] + kl[3]) / 4, rel=1e-6)


def test_disagreement_of_a_student_that_agrees_everywhere_is_zero_and_finite() -> None:
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0]], requires_grad=True)
    loss = disagreement(logits, logits.detach() * 2)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_batch_norm_distance_is_zero_for_the_remembered_statistics_and_its_gradient_finite_there() -> None:
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    layer = nn.BatchNorm2d(3, momentum=1.0)
    layer(images.detach())  # remembers exactly this batch
    layer.eval()
    with watched_batch_norms([layer]) as statistics:
        layer(images)
        same = statistics.take()
        layer(images + 1)
        shifted = statistics.take()
    assert float(same.detach()) == pytest.approx(0, abs=1e-5)
    assert float(shifted.detach()) == pytest.approx(math.sqrt(3), rel=1e-4)
    same.backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


def test_hooks_are_one_per_layer_and_gone_afterwards() -> None:
    models = [nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)) for _ in range(3)]
    for _ in range(4):
        with watched_batch_norms(models):
            assert sum(len(layer._forward_pre_hooks) for model in models for layer in model) == 6
    assert sum(len(layer._forward_pre_hooks) for model in models for layer in model) == 0


def test_an_ensemble_of_one_model_repeated_is_that_model() -> None:
    model = nn.Linear(4, 3)
    images = torch.randn(5, 4)
    torch.testing.assert_close(LogitEnsemble([model] * 3)(images), model(images))


def test_a_mixture_is_the_weighted_mean_of_probabilities() -> None:
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([[1.0, 0.0, 0.2, 0.5], [0.0, 1.0, 0.3, 0.5], [0.0, 0.0, 0.5, 0.0]])
    probabilities = mixture(logits, weights).exp()
    torch.testing.assert_close(probabilities, (weights.unsqueeze(2) * logits.softmax(2)).sum(0))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(4))
    torch.testing.assert_close(probabilities[0], logits[0, 0].softmax(0))  # a weight of 1 leaves one member
    torch.testing.assert_close(mixture(logits).exp(), logits.softmax(2).mean(0))


def test_mixtures_and_mean_logits_coincide_where_all_members_agree(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    alike = logits[0].expand(3, -1, -1)
    torch.testing.assert_close(mixture(alike), F.log_softmax(alike.mean(0), 1))


def test_mean_logits_of_two_teachers_are_matched_by_their_middle(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    first, second = logits
    target = torch.stack([first, second]).mean(0)
    assert float(distillation_loss((first + second) / 2, target)) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(target, torch.stack([second, first]).mean(0))


def test_diversity_loss_is_one_for_equal_outputs_and_falls_as_they_spread() -> None:
    noise = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    outputs = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    assert float(diversity_loss(torch.ones(8, 1, 3, 3), noise)) == 1
    values = [float(diversity_loss(scale * outputs, noise)) for scale in (0.1, 1.0, 10.0)]
    assert 1 > values[0] > values[1] > values[2] > 0
    pairs = [
        float((outputs[i] - outputs[j]).abs().mean() * (noise[i] - noise[j]).square().mean())
        for i in range(8)
        for j in range(8)
    ]
    assert values[1] == pytest.approx(math.exp(-sum(pairs) / 64), rel=1e-5)


def test_diversity_loss_pushes_outputs_apart_with_finite_gradients() -> None:
    outputs = torch.zeros(4, 6).requires_grad_()
    diversity_loss(outputs + torch.arange(4.0)[:, None], torch.eye(4)).backward()
    assert outputs.grad is not None
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad[0].sum() > 0 > outputs.grad[3].sum()  # downhill is further apart


def _classifiers(n: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)).eval()
        for _ in range(n)
    ]


def test_identical_teachers_count_as_one_in_every_term_of_the_inversion_loss() -> None:
    student, teacher = _classifiers(2)
    images, labels = torch.randn(8, 1, 6, 6), torch.arange(8) % 4
    weights = {"ce_weight": 1.0, "bn_weight": 1.0, "div_weight": 0.5}
    one = inversion_loss(images, labels, [student], [teacher], **weights)
    alike = [deepcopy(teacher) for _ in range(3)]
    torch.testing.assert_close(one, inversion_loss(images, labels, [student] * 2, alike, **weights))


def test_the_inversion_loss_rewards_disagreement_only() -> None:
    student, teacher = _classifiers(2)
    images, labels = torch.randn(8, 1, 6, 6), torch.arange(8) % 4
    off = {"ce_weight": 0.0, "bn_weight": 0.0, "div_weight": 1.0}
    assert float(inversion_loss(images, labels, [teacher], [teacher], **off).detach()) == 0
    assert float(inversion_loss(images, labels, [student], [teacher], **off).detach()) < 0
    assert not any(layer._forward_pre_hooks for model in (student, teacher) for layer in model)
