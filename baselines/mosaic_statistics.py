"""Mosaic with class statistics instead of class-wise experts, rounds on mixed images, new heads: beyond the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import cos, pi
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from baselines.class_statistics import (
    KIND,
    StatisticsClassifier,
    StatisticsSettings,
    collect_,
    discriminant_head,
    feature_space,
)
from baselines.mosaic import Mosaic
from baselines.pool_distillation import labelled, pool_batches, student_loss
from mosaic_bench.api import Batch, Predictors, Stage, cross_entropy, parameter, register
from mosaic_bench.models import Classifier


@register("mosaic/statistics", title="Mosaic (class statistics)", paper=Mosaic.paper, extension=True)
class StatisticsMosaic(Mosaic):
    """Mosaic whose teacher is a linear discriminant in the frozen features of the global model after warm-up.

    Its class means and one pooled covariance are sums over clients, uploaded once; nothing is trained. It keeps the
    generators, the distillation and the last rounds. With ``mix_rounds`` some of the last rounds mix: half of every
    batch are the client's own images, half are generated images with the teacher's answers, which the server sends.
    With ``guidance`` the teacher is sent as well and answers for the own images. With ``refit`` a last step gives the
    student a head of class statistics in its own last features: ``server`` is the student with it, ``own head`` the
    student without.

    EXTENSION: the paper fuses experts by a trained meta model; there are no mixed rounds and no new heads. Every client
    of the cohort runs the whole model of the first architecture forward, also where its own is smaller.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"label counts", "generators", KIND})
    conformance_params: ClassVar[Mapping[str, object]] = {
        **Mosaic.conformance_params, "last_rounds": 1, "mix_rounds": 1, "mix_pool": 40, "guidance": 0.5, "refit": True,
    }  # fmt: skip

    slice_titles: ClassVar[Mapping[str, str]] = {
        key: "Mosaic (class statistics)" + each.removeprefix("Mosaic") for key, each in Mosaic.slice_titles.items()
    }

    class Params(Mosaic.Params, StatisticsSettings):
        """Hyper-parameters of Mosaic with class statistics."""

        mix_rounds: int = parameter(0, unit="of the last rounds, the first ones", source="ours", ge=0)
        mix_pool: int = parameter(2000, unit="images a round", source="ours", ge=2)
        mix_lr: float = parameter(0.02, unit="1", source="ours, cosine to 0 over the mixed rounds", gt=0)
        guidance: float = parameter(0.0, unit="weight of the teacher on own images", source="ours", ge=0, le=1)
        refit: bool = parameter(False, unit="class statistics as the student's head", source="ours")

    params: Any

    @classmethod
    def stages(cls, params: Any, rounds: int, cohort: int) -> Sequence[Stage]:
        """Everything before the teacher is Mosaic's."""
        return Mosaic.stages(params, rounds, cohort)

    @classmethod
    def stage_lengths(cls, params: Any, rounds: int, clients: int) -> dict[str, int]:
        """Mosaic's, and a step for the student's new head."""
        return {**Mosaic.stage_lengths(params, rounds, clients), "refit": int(params.refit)}

    def setup(self) -> None:
        """Make the teacher beside everything else."""
        super().setup()
        self.features = self.fed.model(self.fed.architectures[0]).eval()  # what the statistics are about
        self.head = discriminant_head(self.fed, self.params, self.features)
        self.new_head = discriminant_head(self.fed, self._of_student, self.features)
        self.refitted = False

    @property
    def prototype_source(self) -> None:
        """The teacher learns from no prototypes."""

    @property
    def teacher(self) -> nn.Module:
        """Images -> logits."""
        return StatisticsClassifier(feature_space(self.fed, self.features, self.params), self.head)

    def make_teacher(self) -> None:
        """Collect the class statistics in the features of the global model as it is now."""
        self.features.load_state_dict(self.servers[self.fed.architectures[0]].state_dict())
        collect_(self.fed, self.teacher, self._cohort, self.params)  # type: ignore[arg-type]

    def last_round(self, t: int, index: int) -> None:
        """A mixed round, or one of FedAvg."""
        if index >= self.params.mix_rounds:
            super().last_round(t, index)
            return
        self._keep_distilled(index)
        params = self.params
        pool = self._pool(params.kd_epochs + index, params.mix_pool)
        answers = labelled(self.fed, pool, self.teacher)
        payload: dict[str, Any] = {"generated images": self.fed.task.to_pixels(pool), "answers": answers}
        if params.guidance:
            payload["teacher"] = self.teacher
        received = self.fed.broadcast(self.servers, self.fed.cohort(t), **payload)
        loss = MixedLoss(self.fed, answers, index, params)
        updates = self.fed.train(received, loss, lr=self._rate_of_mixed_round(index))
        self.fed.average_(self.servers, updates)

    def _rate_of_mixed_round(self, index: int) -> float:
        """A cosine over the mixed rounds that there are, which may be fewer than ``mix_rounds``."""
        rounds = min(self.params.mix_rounds, self.params.last_rounds)
        return self.params.mix_lr * (1 + cos(pi * index / rounds)) / 2

    def refit(self, t: int, index: int) -> None:
        """Collect class statistics in the features of the student as it is now."""
        collect_(self.fed, self._refitted, self._cohort, self._of_student)
        self.refitted = True

    def predictors(self) -> Predictors:
        """Mosaic's, and once there is a new head the student with it and without."""
        found: dict[str, Any] = dict(super().predictors())
        if self.refitted:
            found |= {"own head": found["server"], "server": self._refitted}
        return found

    @property
    def _refitted(self) -> StatisticsClassifier:
        """The first architecture's student with the new head."""
        student = self.servers[self.fed.architectures[0]]
        return StatisticsClassifier(feature_space(self.fed, student, self._of_student), self.new_head)

    @property
    def _of_student(self) -> Any:
        """The settings of the statistics in the student's features: the last ones."""
        return self.params.model_copy(update={"space": "last"})


class MixedLoss:
    """Local loss of a mixed round: half of the batch are the client's images, half are generated ones.

    The own half learns its labels, the teacher's answers, or both, as ``guidance`` weighs them.

    Args:
        fed: for draws and augmentation.
        answers: logits of the pool, (n, C), whose classes are drawn evenly.
        index: which mixed round it is.
        settings: of the distillation.
    """

    def __init__(self, fed: Any, answers: Tensor, index: int, settings: Any) -> None:
        self._fed, self._index, self._settings = fed, index, settings
        self._classes = answers.argmax(1)

    def __call__(self, model: Classifier, batch: Batch) -> Tensor:
        """Return the mean of both halves' losses."""
        half, received = len(batch.labels) // 2, batch.received
        if not half:
            return cross_entropy(model, batch)
        random = self._fed.rng(f"mixed round of client {received.client}, minibatch {batch.step}", self._index)
        chosen = next(pool_batches(self._classes, half, True, random))
        generated = self._fed.task.from_pixels(received.payload["generated images"][chosen])
        mine = batch.images[half:]
        images = torch.cat([mine, self._fed.augmented(generated, random)])
        own, made = model(images).float().split([len(mine), half])
        loss = student_loss(made, received.payload["answers"][chosen], self._settings)
        return (loss + self._own_loss(own, mine, batch.labels[half:], received.payload)) / 2

    def _own_loss(self, logits: Tensor, images: Tensor, labels: Tensor, payload: Mapping[str, Any]) -> Tensor:
        guidance = self._settings.guidance
        loss = nn.functional.cross_entropy(logits, labels)
        if guidance:
            with torch.no_grad():
                answers = payload["teacher"](images)
            loss = (1 - guidance) * loss + guidance * student_loss(logits, answers, self._settings)
        return loss
