"""Ensembles, losses and small pieces of training that several algorithms share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from mosaic_bench.models import batch_norms

# -- ensembles --------------------------------------------------------------------------------------------------------


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


def logits_of(members: Iterable[nn.Module], images: Tensor) -> Tensor:
    """Logits of every member, float32 (K, b, classes)."""
    return torch.stack([member(images) for member in members]).float()


def mixture(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """log Σ_k w_k softmax(logits_k), (b, classes): logits whose softmax is the weighted mean of the probabilities.

    Args:
        logits: of every member, (K, b, classes).
        weights: (K, b), not negative, with sum 1 over K; equal ones when not given.
    """
    if weights is None:
        weights = logits.new_full(logits.shape[:2], 1 / len(logits))
    return torch.logsumexp(F.log_softmax(logits, 2) + weights.log().unsqueeze(2), 0)


# -- losses -----------------------------------------------------------------------------------------------------------


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T²·KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch (Hinton et al., 2015).

    Both are logits (b, classes). The factor T² keeps gradients of order one whatever the temperature.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def bhattacharyya(first: Tensor, second: Tensor) -> Tensor:
    """Mean over the batch of -log Σ_c √(p_c q_c), p and q the softmax of two logits (b, classes); not bounded.

    What Mosaic's published code computes where it says Jensen-Shannon: half the mid-point's KL on logits.
    """
    return -torch.logsumexp((F.log_softmax(first, 1) + F.log_softmax(second, 1)) / 2, 1).mean()


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Mean over the batch of ½KL(p ‖ m) + ½KL(q ‖ m), m = (p + q)/2, in [0, ln 2]; of two logits (b, classes)."""
    p, q = F.log_softmax(first, 1), F.log_softmax(second, 1)
    middle = torch.logaddexp(p, q) - log(2)
    gaps = [F.kl_div(middle, side, reduction="batchmean", log_target=True) for side in (p, q)]
    return torch.stack(gaps).mean()


def disagreement(student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """Mean over the batch of KL(teacher ‖ student) where they disagree, 0 elsewhere (DENSE, L_div).

    They disagree where their predicted classes differ; with ``labels`` where exactly one of them predicts the label
    (DFRD's code). Both are logits (b, classes); zero, with a zero gradient, when they agree on every image.
    """
    of_student, of_teacher = student.argmax(1), teacher.argmax(1)
    differ = of_student != of_teacher if labels is None else (of_student == labels) != (of_teacher == labels)
    divergence = F.kl_div(F.log_softmax(student, 1), F.log_softmax(teacher, 1), reduction="none", log_target=True)
    return (divergence.sum(1) * differ).mean()


def diversity_loss(outputs: Tensor, noise: Tensor) -> Tensor:
    """exp(-mean over pairs of |x_i - x_j| · |z_i - z_j|²), in (0, 1]; 1 when all outputs are equal (FedGen, FedFTG).

    Distances are means over dimensions and pairs include i = j, as in the published codes; FedFTG's paper writes
    Euclidean norms, whose product drives the exponential to 0 in a space of pixels.

    Args:
        outputs: of a generator, (b, ...).
        noise: what they were made of, (b, latent).
    """
    flat, code = outputs.float().flatten(1), noise.float()
    apart = torch.cdist(flat, flat, p=1) / flat.shape[1]
    apart_in_noise = (code[:, None] - code).square().mean(2)
    return torch.exp(-(apart * apart_in_noise).mean())


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
        rows = inputs[0].float().movedim(1, -1).flatten(0, -2)  # sums over rows: three times as fast as var_mean here
        mean = rows.mean(0)
        variance = (rows - mean).square().sum(0) / (len(rows) - 1)
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


def inversion_loss(
    images: Tensor,
    labels: Tensor,
    students: Sequence[nn.Module],
    teachers: Sequence[nn.Module],
    *,
    ce_weight: float,
    bn_weight: float,
    div_weight: float,
    div_by_label: bool = False,
) -> Tensor:
    """L_CE + λ_1·L_BN - λ_2·L_div: what DENSE's generator minimises.

    L_CE is the cross-entropy of the teachers' mean logits at the wanted labels, L_BN the distance to the statistics
    that the teachers' BatchNorm layers remember, averaged over teachers (0 where none has BatchNorm), L_div the
    disagreement with the student (about the labels, if ``div_by_label``), averaged over students.
    """
    with watched_batch_norms(teachers) as statistics:
        ensemble = logits_of(teachers, images).mean(0)
        loss = ce_weight * F.cross_entropy(ensemble, labels)
        if bn_weight and any(batch_norms(teacher) for teacher in teachers):
            loss = loss + bn_weight * statistics.take() / len(teachers)
    if div_weight:
        about = labels if div_by_label else None
        gaps = [disagreement(student(images).float(), ensemble, about) for student in students]
        loss = loss - div_weight * torch.stack(gaps).mean()
    return loss


# -- training ---------------------------------------------------------------------------------------------------------


def freeze_(model: nn.Module) -> None:
    """Put a model in eval mode and exclude its parameters from gradients, in place."""
    model.eval().requires_grad_(False)


def descend(optimiser: Optimizer, loss: Tensor, clip: float | None = None) -> None:
    """One step down the gradient of ``loss``, whose norm is cut at ``clip``; leaves no gradient behind."""
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
