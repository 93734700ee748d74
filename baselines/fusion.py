"""Communication rounds that end with distillation on the server, and the loop that needs no data for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from baselines.blocks import descend, distillation_loss, freeze_
from mosaic_bench.api import Algorithm, Federation, Predictors, Task, Update, Updates
from mosaic_bench.models import Classifier, StandardisedImages, UpsamplingGenerator, batch_norms

BatchNormMode = Literal["update", "batch", "keep"]
"""A student's BatchNorm in distillation: "update" normalises by the batch and moves the running statistics towards the
distillation images, "batch" normalises by the batch and leaves alone the statistics averaged from the clients, "keep"
normalises by those."""


@contextmanager
def learning(student: nn.Module, batch_norm: BatchNormMode) -> Iterator[None]:
    """Let a student learn inside the block, its BatchNorm in the given mode; it is in train mode but for "keep"."""
    student.requires_grad_(True).train(batch_norm != "keep")
    layers = batch_norms(student) if batch_norm == "batch" else []
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # of the new batch in the running statistics
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


class FusionRounds(Algorithm):
    """Rounds of averaging, each followed by ``fuse``: the server improves the averages with the cohort's models.

    Every architecture has its own student. It starts from the average of its group and learns from the models of the
    whole cohort (Lin et al., NeurIPS 2020, section 3.2); a group without an active client keeps its model. What clients
    receive in the next round is the improved model, or their slice of it.
    """

    def setup(self) -> None:
        """Make one global model per architecture."""
        self.servers = self.fed.models()

    def step(self, t: int) -> None:
        """One communication round, then the fusion of what came back."""
        active: dict[str, Classifier] = {}
        teachers: list[Classifier] = []

        def kept(updates: Updates) -> Iterator[Update]:
            for update in updates:
                active[update.arch] = self.servers[update.arch]
                teachers.append(update.model())
                freeze_(teachers[-1])
                yield update

        received = self.fed.broadcast(self.servers, self.fed.cohort(t))
        self.fed.average_(self.servers, kept(self.fed.train(received)))
        self.fuse(t, list(active.values()), teachers)

    @abstractmethod
    def fuse(self, t: int, students: list[Classifier], teachers: list[Classifier]) -> None:
        """Improve ``students``, the fresh averages, in place.

        Args:
            t: the round.
            students: one per architecture of the cohort.
            teachers: what each client of the cohort trained, in the cohort's order; frozen, in eval mode.
        """

    def predictors(self) -> Predictors:
        """Evaluate the global model of each architecture."""
        return {"server": self.servers}


class GeneratorRounds(FusionRounds):
    """Fusion on the images of one conditional generator, which lives as long as the run.

    ``Params`` of a subclass has ``latent`` and ``generator_base``; see ``conditional_generator``.
    """

    def setup(self) -> None:
        """Make the global models and the generator."""
        super().setup()
        self.generator = self.fed.module("generator", self._new_generator)

    def image_range(self) -> nn.Module | None:
        """Return the generator's last layer: by default the standardised one of ``conditional_generator``."""
        return None

    def _new_generator(self) -> UpsamplingGenerator:
        params = self.params
        return conditional_generator(self.fed.task, params.latent, params.generator_base, self.image_range())


def sgd_for(students: Sequence[nn.Module], lr: float, weight_decay: float) -> list[Optimizer]:
    """Return a fresh plain SGD for each student."""
    return [torch.optim.SGD(student.parameters(), lr=lr, weight_decay=weight_decay) for student in students]


class DataFreeDistillation:
    """Alternates between a generator and the students that learn from its images.

    Args:
        fed: for the suite's precision.
        generator: maps noise (b, latent) and labels (b,) to images.
        synthesis: the generator's optimiser.
        students: they are trained in turn, each on the same images.
        learners: one optimiser per student.
        batch_norm: of the students, while they learn.
    """

    def __init__(
        self,
        fed: Federation,
        generator: nn.Module,
        synthesis: Optimizer,
        students: Sequence[nn.Module],
        learners: Sequence[Optimizer],
        batch_norm: BatchNormMode = "update",
    ) -> None:
        self._fed, self._generator, self._synthesis = fed, generator, synthesis
        self._students, self._learners, self._batch_norm = students, learners, batch_norm

    def synthesise(self, noise: Tensor, labels: Tensor, loss: Callable[[Tensor], Tensor]) -> None:
        """One step of the generator on ``loss`` (images -> scalar); students are frozen and in eval mode."""
        self._generator.train()
        for student in self._students:
            freeze_(student)
        with self._fed.autocast():
            value = loss(self._generator(noise, labels))
        descend(self._synthesis, value)

    @torch.no_grad()
    def images(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Images of the generator in eval mode, without a gradient."""
        self._generator.eval()
        with self._fed.autocast():
            images: Tensor = self._generator(noise, labels)
        return images.float()

    def teach(
        self, images: Tensor, teacher: Callable[[Tensor], Tensor], steps: int = 1, temperature: float = 1.0
    ) -> None:
        """Train every student for ``steps`` steps towards ``teacher`` (images -> logits) on these images."""
        with torch.no_grad(), self._fed.autocast():
            target = teacher(images)
        for student, learner in zip(self._students, self._learners, strict=True):
            with learning(student, self._batch_norm):
                for _ in range(steps):
                    with self._fed.autocast():
                        value = distillation_loss(student(images).float(), target, temperature)
                    descend(learner, value)


def conditional_generator(task: Task, latent: int, base: int, output: nn.Module | None = None) -> UpsamplingGenerator:
    """Return FedFTG's generator of images for noise (b, latent) and labels (b,).

    Args:
        task: shape of the images.
        latent: dimensions of the noise.
        base: channels of the last hidden map.
        output: maps raw pixels to images; when not given each channel of a batch has mean 0 and variance 1, as
            normalised images have over the data set.
    """
    return UpsamplingGenerator(
        channels=task.channels,
        size=task.size,
        latent=latent,
        classes=task.classes,
        base=base,
        output=output or StandardisedImages(task.channels),
    )
