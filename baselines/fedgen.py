"""FedGen: data-free distillation through a generator of features (Zhu et al., ICML 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import descend, distillation_loss, diversity_loss
from baselines.labels import class_weights, label_counts
from mosaic_bench.api import (
    Algorithm,
    Batch,
    Hyperparameters,
    Predictors,
    Random,
    Unsupported,
    Update,
    Updates,
    parameter,
    register,
)
from mosaic_bench.models import Classifier

GENERATOR, COUNTS = "generator", "label counts"  # kinds of what crosses the network beside models


@register("fedgen", title="FedGen", paper="Zhu et al., ICML 2021")
class FedGen(Algorithm):
    """The server learns which features the clients' heads take for which class, and clients train on those too.

    From the second round on a client minimises, over its own batch and as many generated features G(ε, ỹ),

        CE(f(x), y) + a_t·CE(h(G(ε, ỹ)), ỹ) + b_t·KL(h(G(ε', y)) ‖ f(x)),  a_t = max(1e-4, a_0·decay^t) (0 if a_0 = 0),

    with h its head, f the whole model and ỹ drawn from the labels of all clients met so far. The server then trains G
    against the heads it received, on the cohort's labels, and averages the models as FedAvg does. Under width budgets G
    makes full-width features and every head reads its own part of them; several architectures can share G if their
    features have one width.

    DEVIATION: the generator minimises Σ_k α_{k,y}·CE(h_k(G(ε, y)), y) over labels that are uniform among the classes
    held, plus the diversity loss, as in the published code (paper: the cross-entropy of the mean logits over labels as
    frequent as in the data, ``teacher: mean_logits`` with ``labels: counts``).

    DEVIATION: b_0 = 0, since the third term is in the published code only (there b_0 = 10).

    DEVIATION: noise is Gaussian, as in the paper (published code: uniform, ``noise: uniform``).

    DEVIATION: α_{k,c} is client k's share of the cohort's images of class c, uploaded once (published code: shares of
    one round's batches, plus one for every class, ``label_smoothing: 1``, so that clients vote on classes they never
    saw).

    DEVIATION: the server's term against the global model is left out (its weight is 0 in the published code), BatchNorm
    statistics are averaged with the models (published: never), and any cohort works (published: not the full one).
    """

    reveals: ClassVar[frozenset[str]] = frozenset({COUNTS})
    conformance_params: ClassVar[Mapping[str, object]] = {
        "ce_weight": 1.0, "hidden": 16, "latent": 8, "generator_steps": 4, "batch": 16,
    }  # fmt: skip

    class Params(Hyperparameters):
        """Hyper-parameters of FedGen."""

        ce_weight: float = parameter(10.0, unit="1", source="published code, a_0", ge=0)
        kl_weight: float = parameter(0.0, unit="1", source="paper; published code: b_0 = 10", ge=0)
        decay: float = parameter(0.98, unit="per round", source="published code, of a_t, b_t and generator_lr", gt=0)
        noise: Literal["normal", "uniform"] = parameter("normal", unit="distribution", source="paper")
        latent: int = parameter(32, unit="dimensions", source="published code", ge=1)
        hidden: int = parameter(256, unit="units", source="published code", ge=1)
        generator_steps: int = parameter(50, unit="steps per round", source="published code", ge=0)
        generator_lr: float = parameter(3e-4, unit="1", source="published code, Adam", gt=0)
        weight_decay: float = parameter(1e-2, unit="1", source="published code, of the generator", ge=0)
        batch: int = parameter(32, unit="features", source="published code", ge=2)
        diversity_weight: float = parameter(1.0, unit="1", source="published code", ge=0)
        labels: Literal["uniform", "counts"] = parameter(
            "uniform", unit="distribution", source="published code; paper: as in the pooled data"
        )
        teacher: Literal["class_weighted", "mean_logits"] = parameter(
            "class_weighted", unit="loss", source="published code; paper: cross-entropy of the mean logits"
        )
        label_smoothing: float = parameter(0.0, unit="images per class", source="published code: 1", ge=0)

    params: Params

    def setup(self) -> None:
        """Make the global models, the generator and its optimiser."""
        params = self.params
        self.servers = self.fed.models()
        widths = sorted({model.feature_width for model in self.servers.values()})
        if len(widths) > 1:
            raise Unsupported(f"needs features of one width, but the architectures have {', '.join(map(str, widths))}")
        self.generator = self.fed.module(
            "generator", lambda: FeatureGenerator(self.fed.task.classes, params.latent, params.hidden, widths[0])
        )
        self.optimiser = torch.optim.Adam(
            self.generator.parameters(), lr=params.generator_lr, weight_decay=params.weight_decay
        )
        self.counts: dict[int, Tensor] = {}
        self.labels = torch.empty(0)  # weights of the labels of all clients met so far; none yet

    def predictors(self) -> Predictors:
        """Evaluate the global model of each architecture."""
        return {"server": self.servers}

    def step(self, t: int) -> None:
        """One communication round, then the generator's training."""
        cohort = self.fed.cohort(t)
        payload = {GENERATOR: self.generator, COUNTS: self.labels} if len(self.labels) else {}
        received = self.fed.broadcast(self.servers, cohort, **payload)
        self.generator.eval()
        heads: list[_Head] = []
        self.fed.average_(self.servers, _noting_heads(self.fed.train(received, partial(self._loss, t=t)), heads))
        self._train_generator(t, heads, label_counts(self.fed, self.counts, cohort))

    def weight_at(self, initial: float, t: int) -> float:
        """Weight of a local term in round t."""
        return max(1e-4, initial * self.params.decay**t) if initial else 0.0

    def _train_generator(self, t: int, heads: list[_Head], counts: Tensor) -> None:
        params, random = self.params, self.fed.rng("generator", t)
        held = self._drawn(counts)
        self.labels = self._drawn(torch.stack(list(self.counts.values())))
        weights = class_weights(counts + params.label_smoothing)
        for group in self.optimiser.param_groups:
            group["lr"] = params.generator_lr * params.decay**t
        self.generator.train()
        for _ in range(params.generator_steps):
            labels = random.weighted(held, params.batch)
            noise = self._noise(params.batch, random)
            with self.fed.autocast():
                features = self.generator(noise, labels)
                loss = self._teacher_loss(torch.stack([head(features) for head in heads]), labels, weights)
                loss = loss + params.diversity_weight * diversity_loss(features, noise)
            descend(self.optimiser, loss)

    def _drawn(self, counts: Tensor) -> Tensor:
        """Weights of the labels that are drawn where clients hold ``counts``, (C,)."""
        held = counts.sum(0)
        return held if self.params.labels == "counts" else held.clamp(max=1)

    def _teacher_loss(self, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Cross-entropy of the heads' logits (K, b, C), weighted per client and class (K, C) or of their mean."""
        if self.params.teacher == "mean_logits":
            return F.cross_entropy(logits.mean(0), labels)
        ce = F.cross_entropy(logits.transpose(1, 2), labels.expand(len(logits), -1), reduction="none")
        return (weights[:, labels] * ce).mean(1).sum()

    def _noise(self, n: int, random: Random) -> Tensor:
        draw = random.normal if self.params.noise == "normal" else random.uniform
        return draw(n, self.params.latent)

    def _loss(self, model: Classifier, batch: Batch, t: int) -> Tensor:
        """The local objective of round t."""
        logits = model(batch.images)
        loss = F.cross_entropy(logits, batch.labels)
        generator = batch.received.payload.get(GENERATOR)
        if generator is None:
            return loss
        n, random = len(batch.labels), self.fed.rng(f"client {batch.received.client}, minibatch {batch.step}", t)
        ce_weight, kl_weight = (self.weight_at(a, t) for a in (self.params.ce_weight, self.params.kl_weight))
        if ce_weight:
            labels = random.weighted(batch.received.payload[COUNTS], n)
            loss = loss + ce_weight * F.cross_entropy(self._generated_logits(model, batch, labels, random), labels)
        if kl_weight:
            with torch.no_grad():
                target = self._generated_logits(model, batch, batch.labels, random)
            loss = loss + kl_weight * distillation_loss(logits, target)
        return loss

    def _generated_logits(self, model: Classifier, batch: Batch, labels: Tensor, random: Random) -> Tensor:
        """Logits of the client's head for features generated for ``labels``; no gradient reaches the generator."""
        with torch.no_grad():
            features = batch.received.payload[GENERATOR](self._noise(len(labels), random), labels)
        piece = batch.received.slice
        return model.head(features if piece is None else features[:, piece.feature_index])


@dataclass(frozen=True)
class _Head:
    """A client's last layer: weight (C, d), bias (C,), and which of the full-width features it reads (None: all)."""

    weight: Tensor
    bias: Tensor
    feature_index: Tensor | None

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (b, C) of full-width features."""
        return F.linear(
            features if self.feature_index is None else features[:, self.feature_index], self.weight, self.bias
        )


def _noting_heads(updates: Updates, heads: list[_Head]) -> Iterator[Update]:
    """Pass updates on, and keep a copy of every head."""
    for update in updates:
        weight, bias = update.state["head.weight"].clone(), update.state["head.bias"].clone()
        heads.append(_Head(weight, bias, update.slice.feature_index if update.slice else None))
        yield update


class FeatureGenerator(nn.Module):
    """Makes inputs of a classifier's head, (b, features), of noise (b, latent) and int64 labels (b,)."""

    def __init__(self, classes: int, latent: int, hidden: int, features: int) -> None:
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            nn.Linear(latent + classes, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, features)
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Features of noise and labels."""
        features: Tensor = self.layers(torch.cat([noise, F.one_hot(labels, self.classes).to(noise.dtype)], 1))
        return features
