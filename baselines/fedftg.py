"""FedFTG: fine-tune the average on generated hard samples (Zhang et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.blocks import diversity_loss, logits_of, mixture
from baselines.fusion import BatchNormMode, DataFreeDistillation, GeneratorRounds, sgd_for
from baselines.labels import class_weights, label_counts, quota_labels
from mosaic_bench.api import Hyperparameters, parameter, register
from mosaic_bench.models import Classifier


@register("fedftg", title="FedFTG", paper="Zhang et al., CVPR 2022")
class FedFTG(GeneratorRounds):
    """A generator looks for images on which student and clients differ; the student learns the clients' answer there.

    With α_{k,y} client k's share of the cohort's images of class y, and x = G(z, y) for labels y in proportion to the
    cohort's images, the generator minimises -λ_md·L_md + λ_cls·L_cls + λ_dis·L_dis,

        L_md = Σ_k α_{k,y}·D(f_k(x), f(x)),  L_cls = Σ_k α_{k,y}·CE(f_k(x), y),  L_dis = diversity (see blocks),

    and the student KL(Σ_k α_{k,y} softmax(f_k(x)) ‖ softmax(f(x))) on the same x. The generator lives as long as the
    run; optimisers are fresh every round. Clients train as in FedAvg.

    DEVIATION: D is KL(client ‖ student) (published code: the mean absolute gap of the logits, ``discrepancy: l1``).

    DEVIATION: one step of the generator on the sum over clients (published code: one step per client in turn,
    ``generator_step: per_client``).

    DEVIATION: L_cls weighs every image by its own α (published code: the mean α times the mean cross-entropy,
    ``class_weighting: batch``).

    DEVIATION: the student's loss is a mean over images (published code: over images and classes, so its learning rate
    of 0.1 and weight decay of 1e-3 are 0.1 / C and C·1e-3 here).

    With several architectures every student learns in turn, and L_md is the mean over students.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"label counts"})
    conformance_params: ClassVar[Mapping[str, object]] = {
        "iterations": 2, "student_steps": 2, "batch": 16, "latent": 8, "generator_base": 4, "student_lr": 1e-3,
    }  # fmt: skip

    class Params(Hyperparameters):
        """Hyper-parameters of FedFTG."""

        iterations: int = parameter(10, unit="per round", source="published code", ge=0)
        generator_steps: int = parameter(1, unit="steps per iteration", source="published code", ge=0)
        student_steps: int = parameter(5, unit="steps per iteration", source="published code", ge=0)
        batch: int = parameter(50, unit="images", source="published code", ge=2)
        latent: int = parameter(100, unit="dimensions", source="published code; 256 for CIFAR-100", ge=1)
        generator_base: int = parameter(64, unit="channels", source="published code", ge=1)
        generator_lr: float = parameter(0.01, unit="1", source="published code, Adam", gt=0)
        student_lr: float = parameter(0.01, unit="1", source="published code, 0.1 / C for C = 10; SGD", ge=0)
        lr_decay: float = parameter(0.998, unit="per round", source="published code", gt=0, le=1)
        weight_decay: float = parameter(1e-3, unit="1", source="published code", ge=0)
        md_weight: float = parameter(1.0, unit="1", source="paper", ge=0)
        cls_weight: float = parameter(1.0, unit="1", source="paper, lambda_cls", ge=0)
        dis_weight: float = parameter(1.0, unit="1", source="paper, lambda_dis", ge=0)
        discrepancy: Literal["kl", "l1"] = parameter("kl", unit="distance", source="paper")
        class_weighting: Literal["image", "batch"] = parameter("image", unit="weights per", source="paper")
        generator_step: Literal["joint", "per_client"] = parameter("joint", unit="mode", source="paper")
        batch_norm: BatchNormMode = parameter("update", unit="mode", source="published code")

    params: Params

    def setup(self) -> None:
        """Make the global models and the generator."""
        super().setup()
        self.counts: dict[int, Tensor] = {}

    def fuse(self, t: int, students: list[Classifier], teachers: list[Classifier]) -> None:
        """Alternate between generator and students."""
        params, random = self.params, self.fed.rng("fusion", t)
        counts = label_counts(self.fed, self.counts, self.fed.cohort(t))
        weights = class_weights(counts)
        game = self._game(t, students)
        drawn = quota_labels(counts.sum(0), params.iterations * params.batch, random)
        for labels in drawn.view(params.iterations, params.batch):
            noise = random.normal(params.batch, params.latent)
            self._iterate(game, noise, labels, weights[:, labels], students, teachers)

    def _iterate(
        self,
        game: DataFreeDistillation,
        noise: Tensor,
        labels: Tensor,
        alpha: Tensor,
        students: list[Classifier],
        teachers: list[Classifier],
    ) -> None:
        """Generator steps, then student steps, on one batch of noise and labels; ``alpha`` (K, b) are its weights."""
        params, clients = self.params, len(teachers)
        in_turn = params.generator_step == "per_client"
        parts = [slice(k, k + 1) for k in range(clients)] if in_turn else [slice(0, clients)]

        def loss(images: Tensor, part: slice) -> Tensor:
            share = len(teachers[part]) / clients
            return (
                self._adversarial(images, labels, alpha[part], students, teachers[part])
                + params.dis_weight * share * diversity_loss(images, noise)
            )  # fmt: skip

        for _ in range(params.generator_steps):
            for part in parts:
                game.synthesise(noise, labels, partial(loss, part=part))
        images = game.images(noise, labels)
        game.teach(images, lambda images: mixture(logits_of(teachers, images), alpha), params.student_steps)

    def _game(self, t: int, students: list[Classifier]) -> DataFreeDistillation:
        params, rate = self.params, self.params.lr_decay**t
        adam = torch.optim.Adam(self.generator.parameters(), lr=params.generator_lr * rate)
        sgds = sgd_for(students, params.student_lr * rate * self.fed.lr_factor(t), params.weight_decay)
        return DataFreeDistillation(self.fed, self.generator, adam, students, sgds, params.batch_norm)

    def _adversarial(
        self,
        images: Tensor,
        labels: Tensor,
        alpha: Tensor,
        students: Sequence[Classifier],
        teachers: Sequence[Classifier],
    ) -> Tensor:
        """λ_cls·L_cls - λ_md·L_md over some of the clients, whose weights (k, b) are ``alpha``."""
        params, logits = self.params, logits_of(teachers, images)
        ce = F.cross_entropy(logits.transpose(1, 2), labels.expand(len(teachers), -1), reduction="none")
        weights = alpha if params.class_weighting == "image" else alpha.mean(1, keepdim=True)
        cls = (weights * ce).mean(1).sum()
        gaps = [(alpha * self._gap(logits, student(images).float())).mean(1).sum() for student in students]
        return params.cls_weight * cls - params.md_weight * torch.stack(gaps).mean()

    def _gap(self, teachers: Tensor, student: Tensor) -> Tensor:
        """Discrepancy per client and image, (k, b), of logits (k, b, C) and (b, C)."""
        if self.params.discrepancy == "l1":
            return (teachers.detach() - student).abs().mean(2)
        log_student = F.log_softmax(student, 1).expand_as(teachers)
        return F.kl_div(log_student, F.log_softmax(teachers, 2), reduction="none", log_target=True).sum(2)
