"""DENSE: data-free one-shot federated learning (Zhang et al., NeurIPS 2022)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from baselines.blocks import LogitEnsemble, descend, distillation_loss, freeze_, inversion_loss
from mosaic_bench.api import Algorithm, Hyperparameters, Predictors, Stage, parameter, register
from mosaic_bench.models import NormalisedImages, UpsamplingGenerator, batch_norms, init_dcgan_


@register("dense", title="DENSE", paper="Zhang et al., NeurIPS 2022")
class Dense(Algorithm):
    """Clients train once and upload once; the server distils their ensemble through images it synthesises.

    The first steps train one client each; every later step is one server epoch: a new generator makes one batch of
    images, which joins the pool, and the student passes over the whole pool. Where clients run different architectures
    the student has the first one of the suite's list. There are no rounds, so the suite's ``local.tail`` has no effect.

    DEVIATION: images live in the classifiers' normalised range (the published code trains on [0, 1]); the pool is kept
    in memory as 8-bit pixels (published: PNG files shared between runs); the BatchNorm term is averaged over clients,
    as in the paper (published code: summed).

    DEVIATION: generated images are augmented as local training is (published code: its own random crops and flips,
    whatever the clients do), and the student starts from the clients' initial weights (published: from its own).
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"BatchNorm statistics"})
    conformance_params: ClassVar[Mapping[str, object]] = {
        "server_epochs": 4, "generator_steps": 8, "generator_base": 4, "latent": 8, "batch": 48,
        "generator_lr": 0.01, "student_lr": 0.05,
    }  # fmt: skip

    class Params(Hyperparameters):
        """Hyper-parameters of DENSE."""

        local_epochs: int | None = parameter(
            None, unit="epochs", source="matched budget: None spends the suite's rounds at once", ge=1
        )
        server_epochs: int = parameter(200, unit="epochs", source="published README", ge=1)
        generator_steps: int = parameter(30, unit="steps per epoch", source="published README; paper T_G", ge=1)
        generator_lr: float = parameter(1e-3, unit="1", source="paper, eta_G", gt=0)
        latent: int = parameter(256, unit="dimensions", source="published code", ge=1)
        generator_base: int = parameter(64, unit="channels", source="published code", ge=1)
        batch: int = parameter(256, unit="images", source="published README", ge=2)
        ce_weight: float = parameter(1.0, unit="1", source="published README", ge=0)
        bn_weight: float = parameter(1.0, unit="1", source="paper, lambda_1", ge=0)
        div_weight: float = parameter(0.5, unit="1", source="paper, lambda_2", ge=0)
        student_lr: float = parameter(0.01, unit="1", source="paper, eta_S", gt=0)
        student_momentum: float = parameter(0.9, unit="1", source="published code", ge=0, lt=1)
        temperature: float = parameter(20.0, unit="1", source="published README", gt=0)

    params: Params

    @classmethod
    def stages(cls, params: Params, rounds: int, cohort: int) -> Sequence[Stage]:
        """The trained clients serve every variant of the server's part."""
        budget = {"rounds": rounds} if params.local_epochs is None else {"local_epochs": params.local_epochs}
        return [Stage(Dense, "clients", cohort, keeps=("teachers",), params=budget)]

    def setup(self) -> None:
        """Make the student, the clients' models and the student's optimiser."""
        self.server = self.fed.model(self.fed.architectures[0])
        self.teachers = torch.nn.ModuleList(self.fed.model(client=client) for client in self._cohort)
        freeze_(self.teachers)
        self.optimiser = torch.optim.SGD(
            self.server.parameters(), lr=self.params.student_lr, momentum=self.params.student_momentum
        )
        self.pool: list[Tensor] = []  # batches of 8-bit pixels (b, C, H, W)
        if self.params.bn_weight and not batch_norms(self.teachers):
            warnings.warn("DENSE: no client model has BatchNorm, so bn_weight does nothing", stacklevel=2)

    @property
    def steps(self) -> int:
        """One step per client, then one per server epoch."""
        return len(self._cohort) + self.params.server_epochs

    @property
    def ensemble(self) -> LogitEnsemble:
        """The mean of the clients' logits."""
        return LogitEnsemble(self.teachers)

    def predictors(self) -> Predictors:
        """Evaluate the student and its teacher."""
        return {"server": self.server, "ensemble": self.ensemble}

    def step(self, t: int) -> None:
        """Collect one client's model, or run one server epoch."""
        if t < len(self._cohort):
            self._collect(t)
        else:
            self._synthesise(t)
            self._distil(t)

    @property
    def _cohort(self) -> list[int]:
        return self.fed.cohort(0)

    def _collect(self, index: int) -> None:
        """Train one client to the end of its budget and keep its model; there are no rounds that a tail could end."""
        local, epochs = self.fed.local, self.params.local_epochs
        if epochs is None and local.epochs is not None:
            epochs = local.epochs * self.fed.rounds
        steps = local.steps * self.fed.rounds if epochs is None and local.steps is not None else None
        received = self.fed.broadcast(self.fed.models(), [self._cohort[index]])
        for update in self.fed.train(received, steps=steps, epochs=epochs, lr=local.lr):
            self.teachers[index].load_state_dict(update.state)

    def _synthesise(self, t: int) -> None:
        """Train a fresh generator together with its noise, and keep the images of its best step."""
        params, task = self.params, self.fed.task
        freeze_(self.server)
        generator = self.fed.module("generator", self._generator, t).train()
        random = self.fed.rng("synthesis", t)
        noise = random.normal(params.batch, params.latent).requires_grad_()
        labels = random.integers(task.classes, params.batch).sort().values
        optimiser = torch.optim.Adam([*generator.parameters(), noise], lr=params.generator_lr, betas=(0.5, 0.999))
        best, images = noise.new_tensor(torch.inf), torch.empty(0)
        for _ in range(params.generator_steps):
            with self.fed.autocast():
                made = generator(noise)
                loss = self._generator_loss(self.fed.augmented(made, random), labels)
            descend(optimiser, loss)
            made, loss = made.detach(), loss.detach()
            images = made if not len(images) else torch.where(loss < best, made, images)
            best = torch.minimum(best, loss)
        self.pool.append(task.to_pixels(images))

    def _generator(self) -> UpsamplingGenerator:
        task = self.fed.task
        generator = UpsamplingGenerator(
            channels=task.channels,
            size=task.size,
            latent=self.params.latent,
            base=self.params.generator_base,
            output=NormalisedImages(task.mean, task.std),
        )
        init_dcgan_(generator)
        return generator

    def _generator_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        params = self.params
        return inversion_loss(
            images,
            labels,
            [self.server],
            list(self.teachers),
            ce_weight=params.ce_weight,
            bn_weight=params.bn_weight,
            div_weight=params.div_weight,
        )

    def _distil(self, t: int) -> None:
        """One pass of the student over the whole pool."""
        pool = torch.cat(self.pool)
        random = self.fed.rng("distillation", t)
        ensemble = self.ensemble
        self.server.requires_grad_(True).train()
        for chosen in random.permutation(len(pool)).split(self.params.batch):
            images = self.fed.augmented(self.fed.task.from_pixels(pool[chosen]), random)
            with self.fed.autocast():
                with torch.no_grad():
                    teacher = ensemble(images)
                loss = distillation_loss(self.server(images), teacher, self.params.temperature)
            descend(self.optimiser, loss)
