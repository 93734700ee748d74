"""Oracles of the shared losses (exact values, limits, gradients)."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.blocks import LogitEnsemble, disagreement, distillation_loss, watched_batch_norms


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
