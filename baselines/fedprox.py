"""FedProx: local training that stays near the global model (Li et al., MLSys 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mosaic_bench.api import Algorithm, Batch, Hyperparameters, Predictors, cross_entropy, parameter, register
from mosaic_bench.models import Classifier


@register("fedprox", title="FedProx", paper="Li et al., MLSys 2020")
class FedProx(Algorithm):
    """FedAvg whose clients minimise cross-entropy + (μ/2)·‖θ - θ_received‖², over all parameters of their model.

    The control that a change of the local loss fits in a few lines. μ = 0 is FedAvg.
    """

    conformance_params: ClassVar[Mapping[str, object]] = {"mu": 0.1}

    class Params(Hyperparameters):
        """Hyper-parameters of FedProx."""

        mu: float = parameter(0.01, unit="1", source="paper, from its grid 0.001, 0.01, 0.1, 1", ge=0)

    params: Params

    def setup(self) -> None:
        """Make one global model per architecture."""
        self.servers = self.fed.models()

    def step(self, t: int) -> None:
        """One communication round."""
        updates = self.fed.train(self.fed.broadcast(self.servers, self.fed.cohort(t)), self._loss)
        self.fed.average_(self.servers, updates)

    def predictors(self) -> Predictors:
        """Evaluate the global model of each architecture."""
        return {"server": self.servers}

    def _loss(self, model: Classifier, batch: Batch) -> Tensor:
        received = batch.received.state
        moved = [(parameter - received[name]).square().sum() for name, parameter in model.named_parameters()]
        return cross_entropy(model, batch) + 0.5 * self.params.mu * torch.stack(moved).sum()
