"""Mosaic with class statistics instead of class-wise experts, and rounds on mixed images: extensions of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from mosaic_bench.api import Batch, Stage, cross_entropy, parameter, register
from mosaic_bench.models import Classifier


@register("mosaic/statistics", title="Mosaic (class statistics)", paper=Mosaic.paper, extension=True)
class StatisticsMosaic(Mosaic):
    """Mosaic whose teacher is a linear discriminant in the frozen features of the global model after warm-up.

    Its class means and one pooled covariance are sums over clients, uploaded once; nothing is trained. It keeps the
    generators, the distillation and the last rounds. With ``mix_rounds`` some of the last rounds mix: half of every
    batch are the client's own images, half are generated images with the teacher's answers, which the server sends.

    EXTENSION: the paper fuses experts by a trained meta model; there are no mixed rounds.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"label counts", "generators", KIND})
    conformance_params: ClassVar[Mapping[str, object]] = {
        **Mosaic.conformance_params, "last_rounds": 1, "mix_rounds": 1, "mix_pool": 40,
    }  # fmt: skip

    slice_titles: ClassVar[Mapping[str, str]] = {
        key: "Mosaic (class statistics)" + each.removeprefix("Mosaic") for key, each in Mosaic.slice_titles.items()
    }

    class Params(Mosaic.Params, StatisticsSettings):
        """Hyper-parameters of Mosaic with class statistics."""

        mix_rounds: int = parameter(0, unit="of the last rounds, the first ones", source="ours", ge=0)
        mix_pool: int = parameter(2000, unit="images a round", source="ours", ge=2)
        mix_lr: float = parameter(0.02, unit="1", source="ours", gt=0)

    params: Any

    @classmethod
    def stages(cls, params: Any, rounds: int, cohort: int) -> Sequence[Stage]:
        """Everything before the teacher is Mosaic's."""
        return Mosaic.stages(params, rounds, cohort)

    def setup(self) -> None:
        """Make the teacher beside everything else."""
        super().setup()
        self.features = self.fed.model(self.fed.architectures[0]).eval()  # what the statistics are about
        self.head = discriminant_head(self.fed, self.params, self.features)

    @property
    def teacher(self) -> nn.Module:
        """Images -> logits."""
        return StatisticsClassifier(feature_space(self.fed, self.features, self.params), self.head)

    def fuse(self, t: int, index: int) -> None:
        """Collect the class statistics in the features of the global model as it is now."""
        self.features.load_state_dict(self.servers[self.fed.architectures[0]].state_dict())
        collect_(self.fed, self.teacher, self._cohort, self.params)  # type: ignore[arg-type]
        self.fused = True

    def last_round(self, t: int, index: int) -> None:
        """A mixed round, or one of FedAvg."""
        if index >= self.params.mix_rounds:
            super().last_round(t, index)
            return
        self._keep_distilled(index)
        pool = self._pool(self.params.kd_epochs + index)[: self.params.mix_pool]
        answers = labelled(self.fed, pool, self.teacher)
        payload = {"generated images": self.fed.task.to_pixels(pool), "answers": answers}
        received = self.fed.broadcast(self.servers, self.fed.cohort(t), **payload)
        updates = self.fed.train(received, MixedLoss(self.fed, answers, index, self.params), lr=self.params.mix_lr)
        self.fed.average_(self.servers, updates)


class MixedLoss:
    """Local loss of a mixed round: half of the batch as the client holds it, half generated with the teacher's answers.

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
        images = torch.cat([batch.images[half:], self._fed.augmented(generated, random)])
        own, made = model(images).float().split([len(batch.labels) - half, half])
        loss = nn.functional.cross_entropy(own, batch.labels[half:])
        return (loss + student_loss(made, received.payload["answers"][chosen], self._settings)) / 2
