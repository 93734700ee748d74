"""Distillation of a teacher into students on a pool of generated images (Mosaic, stage 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import cos, pi
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from baselines.blocks import bhattacharyya, descend, distillation_loss, jensen_shannon
from baselines.labels import shuffled_positions
from mosaic_bench.api import Federation, Hyperparameters, Random, parameter

_LABELLING_BATCH = 250  # images the teacher labels at a time; fixed, since it can change the last bits


class DistillationSettings(Hyperparameters):
    """How students learn from the teacher."""

    kd_epochs: int = parameter(5, unit="epochs, one step each", source="ours: a new pool per epoch", ge=0)
    kd_steps: int = parameter(60, unit="steps per epoch", source="ours; published code: 1500 or 2500 in all", ge=1)
    kd_batch: int = parameter(64, unit="images", source="ours; published code: 32 per generator", ge=2)
    kd_pool: int = parameter(2000, unit="images per epoch", source="ours; published code: each is used once", ge=2)
    kd_lr: float = parameter(1e-3, unit="1", source="ours; published code: 1e-4, Adam", ge=0)
    kd_schedule: Literal["cosine", "constant"] = parameter("cosine", unit="of the rate", source="published: constant")
    kd_augment: bool = parameter(True, unit="as local training", source="ours; published code: no")
    kd_balanced: bool = parameter(True, unit="by the teacher's classes", source="ours; published code: no")
    kd_weight: float = parameter(0.8, unit="1", source="published code, of KL(teacher ‖ student)", ge=0)
    ce_weight: float = parameter(0.2, unit="1", source="published code, of CE(student, the teacher's class)", ge=0)
    js_weight: float = parameter(1.0, unit="1", source="published code, β", ge=0)
    js: Literal["jensen-shannon", "bhattacharyya"] = parameter(
        "jensen-shannon", unit="divergence", source="paper; published code computes the Bhattacharyya distance"
    )
    sampling: Literal["samples", "uniform"] = parameter("samples", unit="share of a generator", source="ours")
    batch_norm: Literal["update", "keep"] = parameter(
        "update", unit="statistics of students", source="ours; published code: keep"
    )


def student_loss(student: Tensor, teacher: Tensor, settings: DistillationSettings) -> Tensor:
    """.8·KL(teacher ‖ student) + .2·CE(student, argmax teacher) + β·J(student, teacher) of logits (b, C)."""
    loss = settings.kd_weight * distillation_loss(student, teacher)
    loss = loss + settings.ce_weight * F.cross_entropy(student, teacher.argmax(1))
    if settings.js_weight:
        divergence = jensen_shannon if settings.js == "jensen-shannon" else bhattacharyya
        loss = loss + settings.js_weight * divergence(student, teacher)
    return loss


def shares(samples: Sequence[int], n: int, sampling: str) -> list[int]:
    """How many of n images each generator makes: equally many, or in proportion to its client's images. Sums to n."""
    weights = torch.tensor(samples) if sampling == "samples" else torch.ones(len(samples), dtype=torch.int64)
    last = weights.cumsum(0) * n // weights.sum()  # exact in integers
    return last.diff(prepend=last.new_zeros(1)).tolist()


@torch.no_grad()
def generated(
    fed: Federation, generators: Sequence[nn.Module], amounts: Sequence[int], latent: int, random: Random
) -> Tensor:
    """Images of every generator one after another, float32 (Σ amounts, C, H, W)."""
    noise = random.normal(sum(amounts), latent)
    parts: list[Tensor] = []
    for generator, codes in zip(generators, noise.split(list(amounts)), strict=True):
        with fed.autocast():
            parts += [generator(some) for some in codes.split(_LABELLING_BATCH) if len(some)]
    return torch.cat(parts).float()


@torch.no_grad()
def labelled(fed: Federation, images: Tensor, teacher: Callable[[Tensor], Tensor]) -> Tensor:
    """The teacher's logits of images, float32 (n, C)."""
    with fed.autocast():
        return torch.cat([teacher(part).float() for part in images.split(_LABELLING_BATCH)])


def pool_batches(classes: Tensor, size: int, balanced: bool, random: Random) -> Iterator[Tensor]:
    """Positions of a pool in batches without end: of evenly drawn classes, or of one permutation after another.

    Args:
        classes: of the pool's images as the teacher sees them, int64 (n,).
        size: of a batch.
        balanced: classes that the teacher never sees cannot be drawn.
        random: draws.
    """
    if not balanced:
        yield from shuffled_positions(len(classes), size, random)
        return
    weights = torch.bincount(classes).double().reciprocal()[classes]
    while True:
        yield random.weighted(weights, size)


def distil_epoch(
    fed: Federation,
    pool: Tensor,
    teacher: Callable[[Tensor], Tensor],
    students: Sequence[nn.Module],
    learners: Sequence[Optimizer],
    settings: DistillationSettings,
    epoch: int,
    random: Random,
) -> None:
    """Train every student for ``kd_steps`` steps on the same images of the pool; leaves them in eval mode.

    The teacher labels the images as the students see them.

    Args:
        fed: for augmentation and precision.
        pool: normalised images (n, C, H, W).
        teacher: images -> logits.
        students: in turn.
        learners: one optimiser per student.
        settings: budgets and weights.
        epoch: from 0; decides the learning rate.
        random: draws.
    """
    batches = pool_batches(labelled(fed, pool, teacher).argmax(1), settings.kd_batch, settings.kd_balanced, random)
    for student in students:
        student.requires_grad_(True).train(settings.batch_norm == "update")
    for step in range(settings.kd_steps):
        images = pool[next(batches)]
        images = fed.augmented(images, random) if settings.kd_augment else images
        rate = _rate(settings, epoch * settings.kd_steps + step)
        with torch.no_grad(), fed.autocast():
            target = teacher(images).float()
        for student, learner in zip(students, learners, strict=True):
            learner.param_groups[0]["lr"] = rate
            with fed.autocast():
                loss = student_loss(student(images).float(), target, settings)
            descend(learner, loss)
    for student in students:
        student.eval()


def _rate(settings: DistillationSettings, step: int) -> float:
    if settings.kd_schedule == "constant":
        return settings.kd_lr
    return settings.kd_lr * (1 + cos(pi * step / (settings.kd_epochs * settings.kd_steps))) / 2
