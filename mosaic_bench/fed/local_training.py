"""The one local-training loop: every algorithm's clients run it; an algorithm may change the loss, never the loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic_bench.fed.flops import FlopCounter
from mosaic_bench.fed.ledger import Ledger
from mosaic_bench.fed.update import Received
from mosaic_bench.models import Classifier


@dataclass(frozen=True)
class Batch:
    """One minibatch of a client.

    Attributes:
        images: normalised, float32 (b, C, H, W), channels last.
        labels: int64 (b,).
        received: what the server sent to this client in this step.
        step: minibatch number within the client's training, from 0.
    """

    images: Tensor
    labels: Tensor
    received: Received
    step: int


Loss = Callable[[Classifier, Batch], Tensor]


def cross_entropy(model: Classifier, batch: Batch) -> Tensor:
    """Mean cross-entropy of the model's logits: the loss of plain local training."""
    return F.cross_entropy(model(batch.images), batch.labels)


class CountedLoss:
    """A loss of one client whose FLOPs go to the ledger.

    Those of the first minibatch of every size are counted and stand for later ones, since counting takes time.
    """

    def __init__(self, loss: Loss, ledger: Ledger) -> None:
        self._loss, self._ledger = loss, ledger
        self._known: dict[int, int] = {}  # images of a minibatch -> FLOPs

    def __call__(self, model: Classifier, batch: Batch) -> Tensor:
        """Return the loss of a minibatch."""
        size = len(batch.labels)
        if size in self._known:
            value = self._loss(model, batch)
        else:
            with FlopCounter() as counter:
                value = self._loss(model, batch)
            self._known[size] = counter.total
        self._ledger.count(flops=self._known[size])
        return value


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent as every client runs it: rate, momentum, weight decay, largest gradient norm."""

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float | None = None

    def optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimiser: no client keeps optimiser state between rounds."""
        return torch.optim.SGD(
            model.parameters(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=True
        )


def train_client(
    model: Classifier,
    received: Received,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    sgd: SGD,
    loss: Loss,
    autocast: Callable[[], AbstractContextManager[object]],
) -> Tensor:
    """Train ``model`` in place for ``steps`` minibatches and return the mean loss, a scalar on the device.

    Nothing here waits for the device. The loss of no minibatch is 0.
    """
    model.train()
    optimiser = sgd.optimiser(model)
    total = torch.zeros((), device=next(model.parameters()).device)
    for step in range(steps):
        images, labels = next(batches)
        with autocast():
            value = loss(model, Batch(images, labels, received, step))
        value.backward()
        if sgd.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), sgd.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        total += value.detach()
    return total / max(steps, 1)
