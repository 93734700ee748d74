"""Meta models, which fuse the outputs of class-wise experts, and their training on prototypes."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from baselines.blocks import descend
from mosaic_bench.api import Hyperparameters, Random, parameter


class MetaSettings(Hyperparameters):
    """How a meta model is trained."""

    meta_epochs: int = parameter(60, unit="epochs", source="ours; at most, see meta_patience", ge=0)
    meta_batches: Literal["all", "first"] = parameter("all", unit="per epoch", source="published code: first")
    meta_batch: int = parameter(128, unit="prototypes", source="published code", ge=1)
    meta_lr: float = parameter(1e-3, unit="1", source="published code, Adam", gt=0)
    meta_balanced: bool = parameter(True, unit="draws of classes", source="ours; published code: no")
    meta_decay: float = parameter(0.99, unit="1", source="published code, EMA of the weights", ge=0, lt=1)
    meta_corrected: bool = parameter(True, unit="EMA's bias", source="ours; published code: no")
    meta_held_out: float = parameter(0.2, unit="share of prototypes", source="ours, to decide when to stop", ge=0, lt=1)
    meta_patience: int = parameter(10, unit="epochs", source="ours", ge=1)


class MetaModel(nn.Module):
    """Fuses what C experts say, knowing who says it: a calibrated read-out plus an attention correction from zero.

    Expert c's token is W·log softmax(e_c) + u_c, with a learned identity u_c (and a mark on experts of classes that
    nobody holds). One encoder layer lets the tokens look at one another; their mean gives a correction, zero at first.
    The read-out is log ŷ_c = a_c·(log softmax e_c)_c + b_c with a_c = 1, b_c = 0 at first: ask expert c about class c.

    DEVIATION: the published meta model has no identity, so it cannot tell which expert trusts which class
    (``PublishedMetaModel``).

    Args:
        classes: C.
        width: of a token.
        heads: of the attention.
    """

    def __init__(self, classes: int, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.project = nn.Linear(classes, width)
        self.identity = nn.Embedding(classes, width)
        self.unheld = nn.Parameter(torch.zeros(width))
        self.encoder = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True)
        self.correction = nn.Linear(width, classes)
        self.gain = nn.Parameter(torch.ones(classes))
        self.offset = nn.Parameter(torch.zeros(classes))
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, tokens: Tensor, held: Tensor, identity: Tensor | None = None) -> Tensor:
        """Logits (b, C).

        Args:
            tokens: logits of C experts (b, C, C).
            held: whether somebody holds the expert's class, bool (C,), in the order of the tokens.
            identity: which class each token's expert is for, int64 (C,); 0, 1, ... when not given.
        """
        if identity is None:
            identity = torch.arange(tokens.shape[1], device=tokens.device)
        said = F.log_softmax(tokens, 2)
        encoded = self.encoder(self.project(said) + self.identity(identity) + (~held).float().outer(self.unheld))
        own = said[:, torch.arange(len(identity), device=said.device), identity]
        read_out = torch.zeros_like(own).index_copy(1, identity, own)
        logits: Tensor = self.gain * read_out + self.offset + self.correction(encoded.mean(1))
        return logits


class PublishedMetaModel(nn.Module):
    """The published fusion: a shared projection, one transformer encoder and decoder layer, the sum of the tokens.

    No token says whose it is, so permuting the experts changes nothing: the model cannot be class-specific.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        width = classes**2 if classes <= 10 else 10 * classes
        self.sums = classes <= 10  # CIFAR-100's takes the mean
        self.project = nn.Linear(classes, width)
        self.transformer = nn.Transformer(width, classes, 1, 1, 2048, dropout=0.2, batch_first=True)
        self.read_out = nn.Linear(width, classes)

    def forward(self, tokens: Tensor, held: Tensor | None = None) -> Tensor:
        """Logits (b, C) of the experts' logits (b, C, C); ``held`` is not looked at."""
        projected = self.project(tokens)
        mixed = self.transformer(projected, projected)
        logits: Tensor = self.read_out(mixed.sum(1) if self.sums else mixed.mean(1))
        return logits


class ExponentialAverage:
    """Exponential moving average of a module's parameters.

    Corrected, the weights of past steps sum to 1 and the initial parameters have none; otherwise the initial ones keep
    weight decay^n after n steps, as in the published code.
    """

    def __init__(self, module: nn.Module, decay: float, corrected: bool) -> None:
        self._decay, self._corrected, self._steps = decay, corrected, 0
        start = torch.zeros_like if corrected else torch.clone
        self._sums = {name: start(value.detach()) for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the module's parameters after a step."""
        self._steps += 1
        for name, value in module.named_parameters():
            self._sums[name].lerp_(value, 1 - self._decay)

    def values(self) -> dict[str, Tensor]:
        """Return the averaged parameters by name.

        Raises:
            ValueError: corrected, before the first step.
        """
        if not self._corrected:
            return self._sums
        if not self._steps:
            raise ValueError("there is no average before the first step")
        return {name: value / (1 - self._decay**self._steps) for name, value in self._sums.items()}


def train_meta_(
    meta: nn.Module, tokens: Tensor, labels: Tensor, held: Tensor, settings: MetaSettings, random: Random
) -> int:
    """Train ``meta`` on prototypes and leave the average of its weights in it; return the optimiser steps taken.

    Every epoch has ceil(P / batch) steps, of classes drawn evenly or of a permutation. Training stops when the held-out
    prototypes' loss has not fallen for ``meta_patience`` epochs, and the best epoch is kept.

    Args:
        meta: maps tokens (b, C, C) and ``held`` to logits (b, C).
        tokens: what the experts say on the prototypes, (P, C, C).
        labels: int64 (P,).
        held: bool (C,).
        settings: budgets.
        random: draws.
    """
    order = random.permutation(len(labels))
    judged, learned = order.split([apart := int(settings.meta_held_out * len(order)), len(order) - apart])
    adam = torch.optim.Adam(meta.parameters(), lr=settings.meta_lr)
    average = ExponentialAverage(meta, settings.meta_decay, settings.meta_corrected)
    best, best_loss, waited, steps = None, float("inf"), 0, 0
    for _ in range(settings.meta_epochs):
        meta.train()
        for chosen in _epoch(labels, learned, settings, random):
            descend(adam, F.cross_entropy(meta(tokens[chosen], held), labels[chosen]))
            average.update(meta)
            steps += 1
        if not apart:
            continue
        meta.eval()
        with torch.no_grad():
            said = functional_call(meta, average.values(), (tokens[judged], held))
        loss, waited = float(F.cross_entropy(said, labels[judged])), waited + 1
        if loss < best_loss:
            best, best_loss, waited = {name: value.clone() for name, value in average.values().items()}, loss, 0
        elif waited >= settings.meta_patience:
            break
    if steps:
        meta.load_state_dict({**meta.state_dict(), **(best or average.values())})
    meta.eval()
    return steps


def _epoch(labels: Tensor, learned: Tensor, settings: MetaSettings, random: Random) -> Iterator[Tensor]:
    """Yield the batches of one epoch: positions of prototypes."""
    if settings.meta_balanced:
        weights = torch.bincount(labels[learned]).double().reciprocal()[labels[learned]]
        order = learned[random.weighted(weights, len(learned))]
    else:
        order = learned[random.permutation(len(learned))]
    batches = order.split(settings.meta_batch)
    assert len(batches) == ceil(len(learned) / settings.meta_batch)
    yield from batches[: 1 if settings.meta_batches == "first" else None]
