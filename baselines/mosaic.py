"""Mosaic: per-client generators, class-wise experts fused by a meta model, distillation into the global model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import cos, pi
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from baselines.blocks import LogitEnsemble, freeze_
from baselines.client_generators import (
    RECORD_EVERY,
    TERMS,
    GeneratorSettings,
    average_generators_,
    client_generator,
    discriminator_of,
    train_generator_,
)
from baselines.experts import Experts, average_experts_, logit_mixing
from baselines.fedavg import FedAvg
from baselines.labels import label_counts
from baselines.meta_model import MetaModel, MetaSettings, PublishedMetaModel, train_meta_
from baselines.pool_distillation import DistillationSettings, distil_epoch, generated, labelled, shares
from baselines.prototypes import (
    Client,
    SyntheticSettings,
    client_prototypes,
    published_prototypes,
    synthetic_prototypes,
)
from baselines.teachers import FusedExperts, MeanProbability
from mosaic_bench.api import (
    Algorithm,
    Batch,
    ClientData,
    Hyperparameters,
    Predictors,
    PrivacyError,
    Stage,
    Unsupported,
    cross_entropy,
    parameter,
    register,
)
from mosaic_bench.models import Classifier, batch_norms, recalibrate_


class LocalSettings(Hyperparameters):
    """The clients' last training before they upload."""

    expert_steps: int | None = parameter(100, unit="steps", source="ours; None: an ordinary round, as published", ge=1)
    expert_lr: float = parameter(0.03, unit="1", source="ours, cosine to 0", gt=0)
    expert_prior: bool = parameter(True, unit="log prior in the loss", source="ours; published code: no")


class TeacherSettings(SyntheticSettings, MetaSettings):
    """What the teacher is made of."""

    generators: Literal["ensemble", "average"] = parameter(
        "ensemble", unit="of clients", source="paper; those to be averaged begin with the same weights"
    )
    experts: Literal["logits", "parameters"] = parameter("logits", unit="mixed", source="ours; published: parameters")
    calibrated: bool = parameter(True, unit="log-probabilities", source="ours; published code: no")
    fusion: Literal["meta", "published", "uniform"] = parameter("meta", unit="model", source="ours")
    prototypes: Literal["auto", "experts", "published", "synthetic", "public"] = parameter(
        "auto", unit="space", source="ours: experts for clients that are alike, synthetic otherwise"
    )
    prototypes_per_class: int = parameter(10, unit="per client", source="published code, CIFAR-10", ge=1)
    images: Literal["generated", "public"] = parameter("generated", unit="to distil on", source="paper")


@register("mosaic", title="Mosaic", paper="Mosaic; our reading, docs/mosaic.md")
class Mosaic(Algorithm):
    """Four stages: local training, a generator per client, a teacher of class-wise experts, distillation.

    1. Warm-up: rounds of FedAvg, or of the width extraction the suite asks for. Then the clients of cohort(0) train
       what they upload; with ``expert_steps`` longer and with a cosine rate, and such experts are not averaged.
    2. One step per client: it trains a generator against its own frozen model and uploads it once.
    3. One step: class-wise experts, prototypes, and the meta model that fuses the experts: the teacher.
    4. One step per epoch: every architecture's global model learns the teacher's answers on images of all generators.

    Then, if asked for, rounds of FedAvg from the students; with the suite's ``local.tail`` at its low rate.

    DEVIATION: the released code differs in many places, several of which are faults; ``mosaic/published`` follows it,
    and docs/mosaic.md lists what we changed and why.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"label counts", "generators", "prototypes"})
    conformance_params: ClassVar[Mapping[str, object]] = {
        "expert_steps": 6, "generator_steps": 4, "generator_batch": 16, "generator_base": 4, "discriminator_base": 4,
        "latent": 8, "meta_epochs": 3, "synthetic_images": 32, "kd_epochs": 2, "kd_steps": 3, "kd_batch": 16,
        "kd_pool": 40, "kd_lr": 1e-4, "batch_norm": "keep",
    }  # fmt: skip
    slice_titles: ClassVar[Mapping[str, str]] = {
        "static": "Mosaic + HeteroFL",
        "rolling": "Mosaic + FedRolex",
        "random": "Mosaic + Federated Dropout",
    }

    class Params(LocalSettings, GeneratorSettings, TeacherSettings, DistillationSettings):
        """Hyper-parameters of Mosaic."""

        warmup_rounds: int | None = parameter(
            None, unit="rounds", source="None: all but upload and last rounds; published code: 40", ge=1
        )
        last_rounds: int = parameter(0, unit="rounds", source="ours; published code: 39", ge=0)

    params: Params

    # -- stages -------------------------------------------------------------------------------------------------------

    @classmethod
    def stages(cls, params: Params, rounds: int, cohort: int) -> Sequence[Stage]:
        """Warm-up is FedAvg's; experts and generators serve every variant of the server's part."""
        lengths = cls.stage_lengths(params, rounds, cohort)
        local = {"experts": params.experts, **_chosen(params, LocalSettings)}
        generators = {"generators": params.generators, **_chosen(params, GeneratorSettings)}
        return [
            Stage(FedAvg, "rounds", lengths["warm_up"], keeps=("servers",)),
            Stage(Mosaic, "upload", 1, keeps=("servers", "members", "averaged", "known"), params=local),
            Stage(Mosaic, "generators", cohort, keeps=("generators", "courses"), params=generators),
        ]

    @classmethod
    def stage_lengths(cls, params: Params, rounds: int, clients: int) -> dict[str, int]:
        """Steps of every stage, in order.

        Args:
            params: hyper-parameters.
            rounds: the suite's communication rounds; warm-up, upload and last rounds spend them.
            clients: in the cohort that uploads.
        """
        warm_up = params.warmup_rounds or max(1, rounds - 1 - params.last_rounds)
        return {
            "warm_up": warm_up,
            "upload": 1,
            "generator": clients,
            "fuse": 1,
            "distil": params.kd_epochs,
            "last_round": params.last_rounds,
        }

    @property
    def steps(self) -> int:
        """All stages one after another."""
        return sum(self._lengths.values())

    def step(self, t: int) -> None:
        """Do the next step of the stage that step ``t`` belongs to."""
        stage, index = self._place_of(t)
        getattr(self, stage)(t, index)

    def stage_of(self, t: int) -> str:
        """One of ``stage_lengths``."""
        return self._place_of(t)[0]

    def setup(self) -> None:
        """Make every model that the stages fill."""
        params, classes = self.params, self.fed.task.classes
        if params.experts == "parameters" and len(self.fed.architectures) > 1:
            raise Unsupported("averages the parameters of experts, but the clients run different architectures")
        self.servers = self.fed.models()
        self.members = nn.ModuleList(self.fed.model(client=client) for client in self._cohort)
        self._check_images()
        self._check_prototypes()
        self._warn()
        self.generators = nn.ModuleList(map(self._generator, self._cohort))
        averaged = classes if params.experts == "parameters" else 0
        self.averaged = nn.ModuleList(self.fed.model() for _ in range(averaged))
        self.meta = self.fed.module("meta model", self._meta_model)
        self.learners = {
            arch: torch.optim.Adam(model.parameters(), lr=params.kd_lr) for arch, model in self.servers.items()
        }
        self.distilled = self.fed.models() if params.last_rounds else {}
        self.known: dict[int, Tensor] = {}  # client -> images per class
        self.courses: dict[int, Tensor] = {}  # client -> its generator's losses over training; not uploaded
        self.fused = self.ended = False
        freeze_(nn.ModuleList([self.members, self.averaged]))
        nn.ModuleList([self.generators, self.meta]).eval()  # modes are not part of a checkpoint

    def _check_images(self) -> None:
        """Fail before the first step where public images are wanted that the method cannot have."""
        if self.params.images == "public":
            _ = self.fed.public

    def _check_prototypes(self) -> None:
        """Fail before the first step where prototypes are wanted that the method cannot have or no head can read."""
        source = self.prototype_source
        if source == "public":
            _ = self.fed.public.labels
        if source in ("experts", "published") and "prototypes" not in self.reveals:
            raise PrivacyError("asks clients for prototypes, which it does not declare in `reveals`")
        wholes = [_shapes(model) for model in self.servers.values()]
        unlike = any([_shapes(member)] != wholes for member in self.members)
        if unlike and source == "published" and self.params.experts == "logits":
            raise Unsupported("feeds the global model's features to the clients' heads, but their models differ")

    def _warn(self) -> None:
        """Warn of a term that is never computed, and of more rounds than every other method of the suite spends."""
        if self.params.inversion_weight and not batch_norms(self.members):
            warnings.warn("Mosaic: no client model has BatchNorm, so inversion_weight does nothing", stacklevel=3)
        lengths, rounds = self._lengths, self.fed.rounds
        spent = lengths["warm_up"] + lengths["upload"] + lengths["last_round"]
        if spent > rounds and (lengths["last_round"] or self.params.warmup_rounds):
            mend = "lower last_rounds or warmup_rounds"
            warnings.warn(f"Mosaic: spends {spent} rounds where federation.rounds is {rounds}: {mend}", stacklevel=3)

    def predictors(self) -> Predictors:
        """Evaluate the students; once they exist, the teacher and plain ensembles; at the end also what the last rounds
        started from.
        """
        found: dict[str, object] = {"server": self.servers}
        if self.ended:
            found["distilled"] = self.distilled
        if self.fused:
            samples = self.counts.sum(1)
            found["teacher"] = self.teacher
            found["ensemble"] = MeanProbability(self.members)
            found["ensemble-weighted"] = MeanProbability(self.members, samples)
            found["ensemble-logits"] = LogitEnsemble(self.members)
        return found  # type: ignore[return-value]

    def samples(self, n: int) -> Mapping[int, Tensor]:
        """n images of every client's generator."""
        return {
            client: generated(self.fed, [generator], [n], self.params.latent, self.fed.rng("samples", client))
            for client, generator in zip(self._cohort, self.generators, strict=True)
        }

    def figures(self) -> Mapping[str, Mapping[str, Any]]:
        """How the generators trained."""
        courses = torch.stack([self.courses[client] for client in self._cohort])
        if not courses.shape[1]:
            return {}
        known = {"kind": "generator_curves", "clients": self._cohort, "sizes": self.counts.sum(1)}
        step = torch.arange(courses.shape[1]) * RECORD_EVERY
        curves = {f"curve/{name}": each for name, each in zip(TERMS, courses.unbind(2), strict=True)}
        computed = {name: each for name, each in curves.items() if not each.isnan().all()}
        return {"generators": {**known, "step": step, **computed}}

    # -- stage 1: local training --------------------------------------------------------------------------------------

    def warm_up(self, t: int, index: int) -> None:
        """One round of FedAvg."""
        self.fed.average_(self.servers, self.fed.train(self.fed.broadcast(self.servers, self.fed.cohort(t))))

    def upload(self, t: int, index: int) -> None:
        """Collect what becomes an expert, and the clients' label counts."""
        params, cohort = self.params, self._cohort
        label_counts(self.fed, self.known, cohort)
        steps, lr = params.expert_steps, params.expert_lr if params.expert_steps else None
        received = self.fed.broadcast(self.servers, cohort)
        updates = self.fed.train(received, self._expert_loss, steps=steps, lr=lr).keep()
        for member, update in zip(self.members, updates, strict=True):
            member.load_state_dict(update.state)
        if params.experts == "parameters":
            [server] = self.servers.values()
            average_experts_(self.fed, self.averaged, deepcopy(server), updates, self.counts)
        if params.expert_steps is None:
            self.fed.average_(self.servers, updates)

    def _expert_loss(self, model: Classifier, batch: Batch) -> Tensor:
        """Cross-entropy, of logits plus the client's log prior, times a cosine that stands for the learning rate's.

        The prior (one image of every class added) keeps what is merely frequent at the client out of the logits, so a
        client of one class doesn't answer with it to everything (balanced softmax, Ren et al., NeurIPS 2020). A
        gradient that ``local.clip`` shortens does not feel the cosine.
        """
        params = self.params
        if params.expert_prior:
            counts = self.known[batch.received.client] + 1
            prior = (counts / counts.sum()).log()
            loss = nn.functional.cross_entropy(model(batch.images) + prior, batch.labels)
        else:
            loss = cross_entropy(model, batch)
        if params.expert_steps is None:
            return loss
        return loss * (1 + cos(pi * batch.step / params.expert_steps)) / 2

    # -- stage 2: generators ------------------------------------------------------------------------------------------

    def generator(self, t: int, index: int) -> None:
        """Let one client train its generator and upload it."""
        client, model = self._cohort[index], self.members[index]
        judge = discriminator_of(self.fed, client, model, self.params)  # type: ignore[arg-type]

        def train(data: ClientData) -> nn.Module:
            random = self.fed.rng("generator", client)
            generator = self.generators[index]
            self.courses[client] = train_generator_(self.fed, generator, judge, model, data, self.params, random)
            return generator

        self.fed.map(train, [client], "generators")

    # -- stage 3: the teacher -----------------------------------------------------------------------------------------

    def fuse(self, t: int, index: int) -> None:
        """Make the teacher."""
        if self.params.generators == "average":
            average_generators_(list(self.generators), self.counts.sum(1).tolist())
        self.make_teacher()
        self.fused = True

    def make_teacher(self) -> None:
        """Train the meta model on prototypes, unless it is not to be trained, which makes the experts a teacher."""
        self._recalibrate_averaged()
        if self.prototype_source:
            tokens, labels = self._prototypes()
            train_meta_(self.meta, tokens, labels, self.experts.held, self.params, self.fed.rng("meta model"))

    @property
    def teacher(self) -> nn.Module:
        """Images -> logits."""
        if self.params.fusion == "uniform":
            return MeanProbability(self.members)
        return FusedExperts(self.experts, self.meta)

    @property
    def experts(self) -> Experts:
        """One expert per class."""
        held = self.counts.sum(0) > 0
        if self.params.experts == "parameters":
            identity = torch.eye(len(held), device=held.device)
            return Experts(list(self.averaged), identity, held, self.params.calibrated).eval()
        return Experts(list(self.members), logit_mixing(self.counts), held, self.params.calibrated).eval()

    @property
    def prototype_source(self) -> str | None:
        """Which prototypes the teacher learns from; None where it learns from none."""
        params = self.params
        if params.fusion == "uniform" or not params.meta_epochs:
            return None
        if params.prototypes == "auto":
            return "experts" if self._alike else "synthetic"
        return params.prototypes

    def _prototypes(self) -> tuple[Tensor, Tensor]:
        """What the experts say on prototypes, (P, C, C), and their classes (P,)."""
        params, k, source = self.params, self.params.prototypes_per_class, self.prototype_source
        if source == "experts":
            return client_prototypes(self.fed, self.experts, self._cohort, k)
        if source == "published":
            [model] = self.servers.values()
            return published_prototypes(self.fed, self.experts, model, self._cohort, k)
        if source == "public":
            return labelled(self.fed, self.fed.public.images(), self.experts), self.fed.public.labels
        parts = zip(self.generators, self.members, self.counts, strict=True)
        clients = [Client(generator, params.latent, member, counts) for generator, member, counts in parts]
        return synthetic_prototypes(self.fed, self.experts, clients, k, params)

    def _recalibrate_averaged(self) -> None:
        """Give averaged experts BatchNorm statistics of their own, from images of the generators of their class."""
        if not self.params.calibrated:
            return
        for label, expert in enumerate(self.averaged):
            holders = torch.nonzero(self.counts[:, label]).flatten().tolist()
            if holders:
                chosen = [self.generators[k] for k in holders]
                random = self.fed.rng("recalibration", label)
                amounts = shares([1] * len(holders), 256, "uniform")
                recalibrate_(expert, [generated(self.fed, chosen, amounts, self.params.latent, random)])

    # -- stage 4: distillation ----------------------------------------------------------------------------------------

    def distil(self, t: int, index: int) -> None:
        """One epoch on new images of all generators."""
        random = self.fed.rng("distillation", index)
        students, learners = list(self.servers.values()), list(self.learners.values())
        pool = self._pool(index, self.params.kd_pool)
        distil_epoch(self.fed, pool, self.teacher, students, learners, self.params, index, random)

    def _pool(self, index: int, size: int) -> Tensor:
        """Images to distil on, (size, C, H, W): every generator's share; of public images as many as there are."""
        params, random = self.params, self.fed.rng("pool", index)
        if params.images == "public":
            return self.fed.public.images(random.permutation(len(self.fed.public))[:size])
        amounts = shares(self.counts.sum(1).tolist(), size, params.sampling)
        return generated(self.fed, list(self.generators), amounts, params.latent, random)

    def last_round(self, t: int, index: int) -> None:
        """One round of FedAvg from the students; the first keeps what it starts from."""
        self._keep_distilled(index)
        received = self.fed.broadcast(self.servers, self.fed.cohort(t))
        self.fed.average_(self.servers, self.fed.train(received, lr=self._rate_of_last_round(index)))

    def _rate_of_last_round(self, index: int) -> float:
        """Warm-up and upload are rounds too, so this is the suite's rate for the round of that number."""
        return self.fed.local.lr * self.fed.lr_factor(self._lengths["warm_up"] + 1 + index)

    def _keep_distilled(self, index: int) -> None:
        if index == 0:
            for arch, model in self.distilled.items():
                model.load_state_dict(self.servers[arch].state_dict())
            self.ended = True

    # -- what the stages share ----------------------------------------------------------------------------------------

    @property
    def counts(self) -> Tensor:
        """Images of each class at each client, int64 (K, C)."""
        return torch.stack([self.known[client] for client in self._cohort])

    @property
    def _cohort(self) -> list[int]:
        """The clients that upload, once."""
        return self.fed.cohort(0)

    @property
    def _lengths(self) -> dict[str, int]:
        return self.stage_lengths(self.params, self.fed.rounds, len(self._cohort))

    def _place_of(self, t: int) -> tuple[str, int]:
        """The stage of step ``t``, and how many of its steps are done."""
        begin = 0
        for stage, length in self._lengths.items():
            if t < begin + length:
                return stage, t - begin
            begin += length
        raise IndexError(f"step {t} of {begin}")

    @property
    def _alike(self) -> bool:
        """Whether all clients' models have the same shapes."""
        return len(set(map(_shapes, self.members))) == 1

    def _generator(self, client: int) -> nn.Module:
        """Initial weights of its own, or for an average those that all clients begin with."""
        name = "generator" if self.params.generators == "average" else f"generator of client {client}"
        return self.fed.module(name, lambda: client_generator(self.fed.task, self.params))

    def _meta_model(self) -> nn.Module:
        classes = self.fed.task.classes
        return PublishedMetaModel(classes) if self.params.fusion == "published" else MetaModel(classes)


def _shapes(model: nn.Module) -> tuple[torch.Size, ...]:
    return tuple(tensor.shape for tensor in model.state_dict().values())


def _chosen(params: Hyperparameters, part: type[Hyperparameters]) -> dict[str, Any]:
    """The hyper-parameters of one part of the method, by name."""
    return {name: getattr(params, name) for name in part.model_fields}
