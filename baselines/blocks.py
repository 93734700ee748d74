"""Losses and small pieces that several algorithms share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mosaic_bench.models import batch_norms


class LogitEnsemble(nn.Module):
    """The mean of several models' logits.

    Args:
        members: classifiers that map images to logits (b, classes).
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Mean logits (b, classes) of images (b, C, H, W)."""
        return torch.stack([member(images) for member in self.members]).mean(0)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T²·KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch (Hinton et al., 2015).

    Both are logits (b, classes). The factor T² keeps gradients of order one whatever the temperature.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def disagreement(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of KL(teacher ‖ student) where their predicted classes differ, 0 elsewhere (DENSE, L_div).

    Both are logits (b, classes); zero, with a zero gradient, when they agree on every image.
    """
    differ = student.argmax(1) != teacher.argmax(1)
    divergence = F.kl_div(F.log_softmax(student, 1), F.log_softmax(teacher, 1), reduction="none", log_target=True)
    return (divergence.sum(1) * differ).mean()


class BatchNormStatistics:
    """Distance between the statistics of what flows through BatchNorm layers and those the layers remember.

    Sum over layers of ‖μ(v) - μ̂‖₂ + ‖s²(v) - σ̂²‖₂, with the unbiased variance on both sides, as torch stores it.
    """

    def __init__(self) -> None:
        self._terms: list[Tensor] = []

    def take(self) -> Tensor:
        """Return the distance of the forward passes since the last call, and start anew."""
        total = torch.stack(self._terms).sum()
        self._terms.clear()
        return total

    def note(self, layer: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        """Compare one layer's input (b, C, ...) with the layer's running statistics."""
        flat = inputs[0].float().transpose(0, 1).flatten(1)
        variance, mean = torch.var_mean(flat, dim=1)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        self._terms.append(torch.linalg.vector_norm(mean - layer.running_mean))
        self._terms.append(torch.linalg.vector_norm(variance - layer.running_var))


@contextmanager
def watched_batch_norms(models: Iterable[nn.Module]) -> Iterator[BatchNormStatistics]:
    """Measure the models' BatchNorm inputs inside the block: one hook per layer, all removed at its end."""
    statistics = BatchNormStatistics()
    layers = [layer for model in models for layer in batch_norms(model)]
    hooks = [layer.register_forward_pre_hook(statistics.note) for layer in layers]
    try:
        yield statistics
    finally:
        for hook in hooks:
            hook.remove()


def freeze_(model: nn.Module) -> None:
    """Put a model in eval mode and exclude its parameters from gradients, in place."""
    model.eval().requires_grad_(False)
