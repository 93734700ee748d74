"""Server stages the way published code commonly writes them: the mathematics of ours, fp32, NCHW, ``.item()`` a step.

Pools of images go to PNG files and come back through PIL transforms and a DataLoader; teachers answer one after
another; a teacher's answer to the same batch is computed for every step anew; experts are asked class by class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler
from torchvision import transforms


class PNGImages(Dataset[Tensor]):
    """A folder of PNG files.

    Args:
        folder: where they lie.
        moments: mean and standard deviation per channel of pixels in [0, 1].
    """

    def __init__(self, folder: Path, moments: tuple[Sequence[float], Sequence[float]]) -> None:
        self._files = sorted(folder.glob("*.png"))
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(*moments),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self._files[index]) as image:
            tensor: Tensor = self._transform(image.convert("RGB"))
        return tensor


class _Statistics:
    """Keeps how far a BatchNorm layer's input is from what the layer remembers."""

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        self.distance: Tensor | None = None
        self._hook = layer.register_forward_hook(self._note)

    def _note(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        mean = inputs[0].mean([0, 2, 3])
        variance = inputs[0].permute(1, 0, 2, 3).contiguous().view(inputs[0].shape[1], -1).var(1)
        kept = dict(layer.named_buffers())
        self.distance = torch.norm(kept["running_var"] - variance, 2) + torch.norm(kept["running_mean"] - mean, 2)

    def close(self) -> None:
        self._hook.remove()


def usual_dense_epoch(
    student: nn.Module, teachers: Sequence[nn.Module], generator: nn.Module, learner: torch.optim.Optimizer,
    folder: Path, moments: tuple[Sequence[float], Sequence[float]], *,
    steps: int, batch: int, latent: int, classes: int, temperature: float,
) -> None:  # fmt: skip
    """One epoch of DENSE's server: a new generator's best images to the pool, and a pass of the student over it.

    Args:
        student, teachers: classifiers; the student learns, the teachers are in eval mode.
        generator: freshly initialised: noise (b, latent) -> images.
        learner: the student's optimiser.
        folder: the pool of PNG files.
        moments: mean and standard deviation per channel of pixels in [0, 1].
        steps, batch, latent, classes, temperature: as in the method.
    """
    student.eval()
    noise = torch.randn(batch, latent, requires_grad=True)
    labels = torch.randint(classes, (batch,)).sort().values
    optimiser = torch.optim.Adam([*generator.parameters(), noise], lr=1e-3, betas=(0.5, 0.999))
    augment = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()])
    norms = [m for teacher in teachers for m in teacher.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [_Statistics(layer) for layer in norms]
    best, kept = float("inf"), torch.empty(0)
    for _ in range(steps):
        made = generator(noise)
        images = augment(made)
        answer = _mean_logits(teachers, images)
        loss = F.cross_entropy(answer, labels)
        loss = loss + sum(hook.distance for hook in hooks if hook.distance is not None) / len(teachers)
        answered = student(images)
        differ = (answered.max(1)[1] != answer.max(1)[1]).float()
        gap = F.kl_div(F.log_softmax(answered, 1), F.softmax(answer, 1), reduction="none").sum(1)
        loss = loss - 0.5 * (gap * differ).mean()
        if best > loss.item():
            best, kept = loss.item(), made.detach()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for hook in hooks:
        hook.close()
    _write(kept, folder, moments)
    student.train()
    for images in DataLoader(PNGImages(folder, moments), batch_size=batch, shuffle=True):
        with torch.no_grad():
            answer = _mean_logits(teachers, images)
        loss = _distillation(student(images), answer, temperature)
        learner.zero_grad()
        loss.backward()
        learner.step()
        loss.item()


def usual_fedftg_round(
    student: nn.Module, teachers: Sequence[nn.Module], generator: nn.Module, weights: Tensor, *,
    iterations: int, student_steps: int, batch: int, latent: int,
) -> None:  # fmt: skip
    """The server's part of one round of FedFTG.

    Args:
        student, teachers: classifiers; the student learns, the teachers are in eval mode.
        generator: (noise, labels) -> images.
        weights: each client's share of each class, (K, C).
        iterations, student_steps, batch, latent: as in the method.
    """
    synthesis = torch.optim.Adam(generator.parameters(), lr=0.01)
    learner = torch.optim.SGD(student.parameters(), lr=0.01, weight_decay=1e-3)
    for _ in range(iterations):
        noise, labels = torch.randn(batch, latent), torch.randint(weights.shape[1], (batch,))
        student.eval()
        generator.train()
        images = generator(noise, labels)
        loss = torch.zeros(())
        for teacher, weight in zip(teachers, weights, strict=True):
            alpha, said = weight[labels], teacher(images)
            loss = loss + (alpha * F.cross_entropy(said, labels, reduction="none")).mean()
            gap = F.kl_div(F.log_softmax(student(images), 1), F.softmax(said, 1), reduction="none").sum(1)
            loss = loss - (alpha * gap).mean()
        flat = images.flatten(1)
        apart = (flat[:, None] - flat[None]).abs().mean(2)
        loss = loss + torch.exp(-(apart * (noise[:, None] - noise[None]).pow(2).mean(2)).mean())
        synthesis.zero_grad()
        loss.backward()
        synthesis.step()
        loss.item()
        student.train()
        generator.eval()
        for _ in range(student_steps):
            with torch.no_grad():
                images = generator(noise, labels)
                answer = torch.zeros(batch, weights.shape[1])
                for teacher, weight in zip(teachers, weights, strict=True):
                    answer += weight[labels][:, None] * F.softmax(teacher(images), 1)
            loss = F.kl_div(F.log_softmax(student(images), 1), answer, reduction="batchmean")
            learner.zero_grad()
            loss.backward()
            learner.step()
            loss.item()


def usual_mosaic_epoch(
    student: nn.Module, members: Sequence[nn.Module], fuse: Callable[[Tensor], Tensor], mixing: Tensor,
    generators: Sequence[nn.Module], learner: torch.optim.Optimizer, *, steps: int, batch: int, pool: int, latent: int,
) -> None:  # fmt: skip
    """One epoch of Mosaic's distillation.

    Args:
        student, members: classifiers; the student learns, the members are in eval mode.
        fuse: what the experts say (b, C, C) -> logits.
        mixing: weights of the members in each class's expert, (C, K).
        generators: one per client: noise (b, latent) -> images.
        learner: the student's optimiser.
        steps, batch, pool, latent: as in the method.
    """

    def teacher(images: Tensor) -> Tensor:
        said = [F.log_softmax(member(images), 1) for member in members]
        experts = []
        for weights in mixing:
            experts.append(sum(weight * each for weight, each in zip(weights, said, strict=True)))
        return fuse(torch.stack(experts, 1))

    with torch.no_grad():
        images = torch.cat([generator(torch.randn(pool // len(generators), latent)) for generator in generators])
        classes = torch.cat([teacher(part).argmax(1) for part in images.split(batch)])
    balance = (1 / torch.bincount(classes).double())[classes]
    sampler = WeightedRandomSampler(balance.tolist(), steps * batch)
    augment = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()])
    student.train()
    for (chosen,) in DataLoader(TensorDataset(images), batch_size=batch, sampler=sampler):
        each = torch.stack([augment(image) for image in chosen])
        with torch.no_grad():
            answer = teacher(each)
        loss = _mosaic_loss(student(each), answer)
        learner.zero_grad()
        loss.backward()
        learner.step()
        loss.item()


def _mosaic_loss(student: Tensor, teacher: Tensor) -> Tensor:
    p, q = F.softmax(student, 1), F.softmax(teacher, 1)
    middle = torch.log((p + q) / 2)
    js = (F.kl_div(middle, p, reduction="batchmean") + F.kl_div(middle, q, reduction="batchmean")) / 2
    return 0.8 * _distillation(student, teacher, 1.0) + 0.2 * F.cross_entropy(student, teacher.argmax(1)) + js


def _mean_logits(teachers: Sequence[nn.Module], images: Tensor) -> Tensor:
    return torch.stack([teacher(images) for teacher in teachers]).mean(0)


def _distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_student, soft = F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    return F.kl_div(log_student, soft, reduction="batchmean") * temperature**2


def _write(images: Tensor, folder: Path, moments: tuple[Sequence[float], Sequence[float]]) -> None:
    """Write normalised images (b, C, H, W) as PNG files that follow those in the folder."""
    mean, std = (torch.tensor(values)[:, None, None] for values in moments)
    pixels = ((images * std + mean).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    first = len(list(folder.glob("*.png")))
    for index, image in enumerate(np.ascontiguousarray(pixels)):
        Image.fromarray(image).save(folder / f"{first + index:06d}.png")
