"""FedDF without public images: the form in which data-free methods are compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.blocks import diversity_loss, logits_of, mixture
from baselines.fusion import BatchNormMode, DataFreeDistillation, GeneratorRounds, sgd_for
from baselines.labels import label_counts, quota_labels
from mosaic_bench.api import Hyperparameters, parameter, register
from mosaic_bench.models import Classifier


@register("feddf-data-free", title="FedDF (data-free)", paper="Lin et al., NeurIPS 2020; Zhang et al., CVPR 2022")
class DataFreeFedDF(GeneratorRounds):
    """FedDF on generated images, as FedFTG's authors compare with it: first the generator learns, then the students.

    The generator minimises L_dis + (1/|S|) Σ_k CE(f_k(G(z, y)), y); the students learn the mean probability of the
    received models. No public images, no labelled validation images: a fixed number of steps.

    DEVIATION: the loss of a student is a mean over images (published code: over images and classes, so its learning
    rate of 0.1 is 0.1 / C here), and generator and students share ``lr_decay``.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"label counts"})
    conformance_params: ClassVar[Mapping[str, object]] = {
        "generator_steps": 4, "student_steps": 4, "batch": 16, "latent": 8, "generator_base": 4, "student_lr": 1e-3,
    }  # fmt: skip

    class Params(Hyperparameters):
        """Hyper-parameters of data-free FedDF."""

        generator_steps: int = parameter(50, unit="steps per round", source="FedFTG's code", ge=0)
        student_steps: int = parameter(20, unit="steps per round", source="FedFTG's code", ge=0)
        batch: int = parameter(50, unit="images", source="FedFTG's code", ge=2)
        latent: int = parameter(100, unit="dimensions", source="FedFTG's code", ge=1)
        generator_base: int = parameter(64, unit="channels", source="FedFTG's code", ge=1)
        generator_lr: float = parameter(0.01, unit="1", source="FedFTG's code", gt=0)
        student_lr: float = parameter(0.01, unit="1", source="FedFTG's code, 0.1 / C for C = 10", ge=0)
        lr_decay: float = parameter(0.998, unit="per round", source="FedFTG's code", gt=0, le=1)
        weight_decay: float = parameter(1e-3, unit="1", source="FedFTG's code", ge=0)
        dis_weight: float = parameter(1.0, unit="1", source="FedFTG's code", ge=0)
        batch_norm: BatchNormMode = parameter("update", unit="mode", source="FedFTG's code")

    params: Params

    def setup(self) -> None:
        """Make the global models and the generator."""
        super().setup()
        self.counts: dict[int, Tensor] = {}

    def fuse(self, t: int, students: list[Classifier], teachers: list[Classifier]) -> None:
        """Train the generator, then the students on its images."""
        params, random = self.params, self.fed.rng("fusion", t)
        held = label_counts(self.fed, self.counts, self.fed.cohort(t)).sum(0)
        rate, decay = params.lr_decay**t, params.weight_decay
        game = DataFreeDistillation(
            self.fed,
            self.generator,
            torch.optim.Adam(self.generator.parameters(), lr=params.generator_lr * rate, weight_decay=decay),
            students,
            sgd_for(students, params.student_lr * rate * self.fed.lr_factor(t), decay),
            params.batch_norm,
        )
        steps = params.generator_steps + params.student_steps
        drawn = quota_labels(held, steps * params.batch, random)
        for step, labels in enumerate(drawn.view(steps, params.batch)):
            noise = random.normal(params.batch, params.latent)
            if step < params.generator_steps:
                game.synthesise(noise, labels, partial(self._loss, noise=noise, labels=labels, teachers=teachers))
            else:
                game.teach(game.images(noise, labels), lambda images: mixture(logits_of(teachers, images)))

    def _loss(self, images: Tensor, noise: Tensor, labels: Tensor, teachers: list[Classifier]) -> Tensor:
        logits = logits_of(teachers, images)
        ce = F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(teachers)))
        return ce + self.params.dis_weight * diversity_loss(images, noise)
