"""DENSE in communication rounds: the form in which multi-round methods are compared with it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from baselines.blocks import inversion_loss, logits_of
from baselines.fusion import BatchNormMode, DataFreeDistillation, GeneratorRounds, sgd_for
from mosaic_bench.api import Hyperparameters, Random, parameter, register
from mosaic_bench.models import Classifier, NormalisedImages, batch_norms


@register("dense-rounds", title="DENSE (multi-round)", paper="Zhang et al., NeurIPS 2022; Luo et al., NeurIPS 2023")
class DenseRounds(GeneratorRounds):
    """Every round, a generator trained with DENSE's loss makes images on which the average learns the mean logits.

    The comparisons of DFRD and Mosaic run DENSE so: the student starts from the average, the generator lives as long as
    the run, labels are uniform over all classes, and there is no pool of images.

    DEVIATION: the BatchNorm term reads the running statistics of the received models (published: statistics that
    clients collect and upload because their BatchNorm keeps none), and is on (published default: 0).

    DEVIATION: the generator looks for images on which student and ensemble predict different classes, as in DENSE
    (published: of which exactly one of them predicts the wanted label, ``disagreement: label``).

    DEVIATION: generator and optimiser live on through the run (published: Adam is created anew in each iteration), and
    the generator is FedFTG's conditional one, in the classifiers' normalised range, with FedFTG's learning rate: at the
    published 2e-4 learning on this generator's first images made the average worse (one cell, Fashion-MNIST).

    DEVIATION: the student's loss is a mean over images with the factor T² (published: over images and classes, without
    the factor, which is C·T² = 1000 times less for C = 10).
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"BatchNorm statistics"})
    conformance_params: ClassVar[Mapping[str, object]] = {
        "iterations": 2, "student_steps": 2, "batch": 16, "latent": 8, "generator_base": 4, "student_lr": 1e-3,
    }  # fmt: skip

    class Params(Hyperparameters):
        """Hyper-parameters of multi-round DENSE."""

        iterations: int = parameter(10, unit="per round", source="DFRD's code; Mosaic: 10 or 20", ge=0)
        generator_steps: int = parameter(2, unit="steps per iteration", source="DFRD's code, 1 to 2", ge=0)
        student_steps: int = parameter(5, unit="steps per iteration", source="DFRD's code", ge=0)
        batch: int = parameter(64, unit="images", source="DFRD's code, the clients' batch", ge=2)
        latent: int = parameter(100, unit="dimensions", source="DFRD's code", ge=1)
        generator_base: int = parameter(64, unit="channels", source="DENSE's code", ge=1)
        generator_lr: float = parameter(0.01, unit="1", source="FedFTG's code, of this generator; DFRD's: 2e-4", gt=0)
        ce_weight: float = parameter(1.0, unit="1", source="DENSE's README", ge=0)
        bn_weight: float = parameter(1.0, unit="1", source="DENSE's paper, lambda_1", ge=0)
        div_weight: float = parameter(0.5, unit="1", source="DENSE's paper, lambda_2", ge=0)
        disagreement: Literal["prediction", "label"] = parameter("prediction", unit="about", source="DENSE's paper")
        student_lr: float = parameter(0.01, unit="1", source="DFRD's code, SGD", ge=0)
        weight_decay: float = parameter(1e-4, unit="1", source="DFRD's code", ge=0)
        temperature: float = parameter(10.0, unit="1", source="DFRD's code", gt=0)
        batch_norm: BatchNormMode = parameter("update", unit="mode", source="DFRD's code")

    params: Params

    def setup(self) -> None:
        """Make the global models, the generator and its optimiser."""
        super().setup()
        params = self.params
        self.synthesis = torch.optim.Adam(self.generator.parameters(), lr=params.generator_lr, betas=(0.5, 0.999))
        if params.bn_weight and not any(batch_norms(model) for model in self.servers.values()):
            warnings.warn("DENSE: no client model has BatchNorm, so bn_weight does nothing", stacklevel=2)

    def image_range(self) -> NormalisedImages:
        """Images lie exactly where real ones do after normalisation."""
        return NormalisedImages(self.fed.task.mean, self.fed.task.std)

    def fuse(self, t: int, students: list[Classifier], teachers: list[Classifier]) -> None:
        """Alternate between generator and students."""
        params, random = self.params, self.fed.rng("fusion", t)
        sgds = sgd_for(students, params.student_lr * self.fed.lr_factor(t), params.weight_decay)
        game = DataFreeDistillation(self.fed, self.generator, self.synthesis, students, sgds, params.batch_norm)
        for _ in range(params.iterations):
            self._iterate(game, random, students, teachers)

    def _iterate(
        self, game: DataFreeDistillation, random: Random, students: list[Classifier], teachers: list[Classifier]
    ) -> None:
        """Generator steps, then student steps, on one batch of noise and labels."""
        params = self.params
        noise = random.normal(params.batch, params.latent)
        labels = random.integers(self.fed.task.classes, params.batch)

        def loss(images: Tensor) -> Tensor:
            return inversion_loss(
                self.fed.augmented(images, random),
                labels,
                students,
                teachers,
                ce_weight=params.ce_weight,
                bn_weight=params.bn_weight,
                div_weight=params.div_weight,
                div_by_label=params.disagreement == "label",
            )

        for _ in range(params.generator_steps):
            game.synthesise(noise, labels, loss)
        images = self.fed.augmented(game.images(noise, labels), random)
        game.teach(images, lambda images: logits_of(teachers, images).mean(0), params.student_steps, params.temperature)
