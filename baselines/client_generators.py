"""A generator of images trained beside one client's data, against the client's own model (Mosaic, stage 2)."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from math import log, nan
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import descend, watched_batch_norms
from baselines.points import PointDiscriminator, PointGenerator
from mosaic_bench.api import ClientData, Federation, Hyperparameters, Random, Task, parameter
from mosaic_bench.models import (
    Classifier,
    DCGANDiscriminator,
    DCGANGenerator,
    NormalisedImages,
    UpsamplingGenerator,
    batch_norms,
)

_EPSILON = 1e-6  # of a probability, inside logarithms
_BETAS = (0.5, 0.999)  # DCGAN

TERMS = ("discriminator", "adversarial", "entropy", "diversity", "inversion")
"""Losses whose course ``train_generator_`` returns, without their weights."""

RECORD_EVERY = 10
"""Generator steps between two records of them."""


class GeneratorSettings(Hyperparameters):
    """How a client trains its generator."""

    generator_steps: int = parameter(400, unit="steps", source="ours: half a minute a client on one core", ge=0)
    generator_batch: int = parameter(48, unit="images", source="ours; published code: 64", ge=2)
    generator_lr: float = parameter(1e-3, unit="1", source="ours; published code: 2e-4, Adam", gt=0)
    generator_network: Literal["upsampling", "dcgan"] = parameter(
        "upsampling", unit="network", source="ours; published code: dcgan"
    )
    generator_base: int = parameter(16, unit="channels", source="ours; published code: 64", ge=1)
    latent: int = parameter(100, unit="dimensions", source="published code", ge=1)
    discriminator: Literal["separate", "own"] = parameter("separate", unit="network", source="published code")
    discriminator_base: int = parameter(16, unit="channels", source="ours; published code: 64", ge=1)
    adversarial_weight: float = parameter(1.0, unit="1", source="published code", ge=0)
    entropy_weight: float = parameter(0.1, unit="1", source="ours; published code: 0", ge=0)
    diversity_weight: float = parameter(1.0, unit="1", source="ours; published code: 5", ge=0)
    inversion_weight: float = parameter(0.01, unit="1", source="published code, 10 · .001, switched off", ge=0)
    inversion_below: int = parameter(500, unit="images of the client, τ", source="ours", ge=0)
    balance: float = parameter(1.0, unit="0: as held … 1: equal classes", source="ours; published code: 0", ge=0, le=1)


def client_generator(task: Task, settings: GeneratorSettings) -> DCGANGenerator | UpsamplingGenerator | PointGenerator:
    """Return an unconditional generator whose images lie in the normalised range of real ones.

    Where images are single points of a plane it is a small perceptron.

    DEVIATION: the published one ends in a tanh while real images are normalised, so range alone tells them apart.
    """
    if task.size == 1:
        return PointGenerator(task.channels, settings.latent)
    network = UpsamplingGenerator if settings.generator_network == "upsampling" else DCGANGenerator
    return network(
        channels=task.channels,
        size=task.size,
        latent=settings.latent,
        base=settings.generator_base,
        output=NormalisedImages(task.mean, task.std),
    )


class OwnDiscriminator(nn.Module):
    """A client's model as discriminator: the log-odds of an image being real are logsumexp of its logits.

    That is a classifier with one more class, "generated", of logit 0 (Salimans et al., NeurIPS 2016).
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Log-odds (b,) of images (b, C, H, W) being real."""
        return torch.logsumexp(self.model(images), 1)


def generator_terms(logits: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy and diversity of what a classifier sees in generated images, both ≥ 0 and 0 at best.

    Entropy: mean over images of H(p), p the softmax over all classes, so that each image is of one class. Diversity:
    KL(p̄ ‖ uniform over held classes), p̄ the batch mean of the softmax over held classes, so that all of them occur; 0
    where one class is held. Finite for any logits.

    DEVIATION: the published code pulls p̄ towards all classes but class 0, whatever the client holds, and takes log 0.

    Args:
        logits: of generated images, (b, C).
        held: classes of which the client has images, bool (C,).
    """
    log_p = F.log_softmax(logits.float(), 1)
    entropy = -(log_p.exp() * log_p).sum(1).mean()
    mean = F.softmax(logits.float()[:, held], 1).mean(0)
    diversity = (mean * mean.clamp(min=_EPSILON).log()).sum() + log(int(held.sum()))
    return entropy, diversity.clamp(min=0)


def balanced_positions(labels: Tensor, n: int, balance: float, random: Random) -> Tensor:
    """Draw n positions of ``labels`` with replacement, int64 (n,): a class of m images m^(1 - balance) times as often.

    A client of fewer than n images repeats them, which augmentation makes different.
    """
    counts = torch.bincount(labels).double()
    return random.weighted(counts[labels].pow(-balance), n)


def train_generator_(
    fed: Federation,
    generator: nn.Module,
    discriminator: nn.Module,
    classifier: nn.Module,
    data: ClientData,
    settings: GeneratorSettings,
    random: Random,
) -> Tensor:
    """Train a generator in place; leaves it in eval mode.

    Per step, with T the augmentation of local training, the discriminator minimises
    BCE(D(T(x)), 1) + BCE(D(T(G(z))), 0), and where it is the client's own model also the cross-entropy of real images;
    the generator BCE(D(T(G(z))), 1) + c_l·entropy + d_l·diversity, and for clients of fewer than τ images also
    i_l·(distance to the BatchNorm statistics of the classifier).

    DEVIATION: classes are drawn evenly with replacement, and generated images are augmented as real ones are.

    Args:
        fed: for augmentation and precision.
        generator: maps noise (b, latent) to images.
        discriminator: maps images to log-odds of being real.
        classifier: the client's own model, frozen and in eval mode.
        data: the client's images.
        settings: budgets and weights.
        random: draws.

    Returns:
        Every tenth step's ``TERMS``, float32 (T, 5); NaN where a term is not computed.
    """
    adam = torch.optim.Adam(generator.parameters(), lr=settings.generator_lr, betas=_BETAS)
    judge = torch.optim.Adam(discriminator.parameters(), lr=settings.generator_lr, betas=_BETAS)
    labels, held = data.labels, data.counts > 0
    objective = GeneratorObjective(classifier, held, settings, small=data.samples < settings.inversion_below)
    records = [torch.empty(0, len(TERMS), device=labels.device)]
    generator.train()
    discriminator.train()
    for step in range(settings.generator_steps):
        chosen = balanced_positions(labels, settings.generator_batch, settings.balance, random)
        real = fed.augmented(data.images(chosen), random)
        with fed.autocast():
            made = generator(random.normal(len(chosen), settings.latent))
            loss = _bce(discriminator(real), 1) + _bce(discriminator(fed.augmented(made.detach(), random)), 0)
            terms = [loss.detach()]
            if isinstance(discriminator, OwnDiscriminator):
                loss = loss + F.cross_entropy(discriminator.model(real), labels[chosen])
        descend(judge, loss)
        with fed.autocast():
            loss = objective(made)
            if settings.adversarial_weight:
                discriminator.requires_grad_(False)
                fooled = _bce(discriminator(fed.augmented(made, random)), 1)
                loss = loss + settings.adversarial_weight * fooled
                discriminator.requires_grad_(True)
        terms += [fooled.detach() if settings.adversarial_weight else _missing(loss), *objective.terms]
        descend(adam, loss)
        if step % RECORD_EVERY == 0:
            records.append(torch.stack(terms).float()[None])
    generator.eval()
    return torch.cat(records)


class GeneratorObjective:
    """The classifier's part of a generator's loss: entropy, diversity and, for small clients, inversion.

    A term of weight 0 is not computed; without any the classifier is not asked.

    Attributes:
        terms: entropy, diversity and inversion of the last images, without weights; NaN where not computed.
    """

    def __init__(self, classifier: nn.Module, held: Tensor, settings: GeneratorSettings, small: bool) -> None:
        self._classifier, self._held, self._settings = classifier, held, settings
        self._inverts = bool(small and settings.inversion_weight and batch_norms(classifier))

    def __call__(self, images: Tensor) -> Tensor:
        """Return the weighted sum of the terms for generated images, a scalar."""
        settings, total = self._settings, 0 * images.sum()  # differentiable, whatever is left out
        self.terms = [_missing(total)] * 3
        if not (self._inverts or settings.entropy_weight or settings.diversity_weight):
            return total
        watch = watched_batch_norms([self._classifier]) if self._inverts else nullcontext()
        with watch as statistics:
            entropy, diversity = generator_terms(self._classifier(images), self._held)
            total = settings.entropy_weight * entropy + settings.diversity_weight * diversity
            self.terms[:2] = entropy.detach(), diversity.detach()
            if statistics is not None:
                inversion = statistics.take()
                total = total + settings.inversion_weight * inversion
                self.terms[2] = inversion.detach()
        return total


def discriminator_of(
    fed: Federation, client: int, model: Classifier, settings: GeneratorSettings
) -> DCGANDiscriminator | PointDiscriminator | OwnDiscriminator:
    """Return a client's discriminator: one of its own, DCGAN's for images, or an unfrozen copy of its model."""
    if settings.discriminator == "own":
        return OwnDiscriminator(copy.deepcopy(model).requires_grad_(True))
    task = fed.task

    def build() -> DCGANDiscriminator | PointDiscriminator:
        if task.size == 1:
            return PointDiscriminator(task.channels)
        return DCGANDiscriminator(channels=task.channels, size=task.size, base=settings.discriminator_base)

    return fed.module(f"discriminator of client {client}", build)


@torch.no_grad()
def average_generators_(generators: list[nn.Module], samples: list[int]) -> None:
    """Replace every generator by the sample-weighted average of all, statistics included.

    The ablation of the ensemble: one aggregated generator.
    """
    share = [n / sum(samples) for n in samples]
    for tensors in zip(*(generator.state_dict().values() for generator in generators), strict=True):
        if tensors[0].is_floating_point():
            mean = torch.stack([w * each for w, each in zip(share, tensors, strict=True)]).sum(0)
            for each in tensors:
                each.copy_(mean)


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, target, dtype=torch.float32))


def _missing(like: Tensor) -> Tensor:
    return torch.full((), nan, device=like.device)
