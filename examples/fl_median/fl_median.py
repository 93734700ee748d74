"""Coordinate-wise median of the clients' models (Yin et al., ICML 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from mosaic_bench.api import Algorithm, Hyperparameters, Unsupported, parameter, register


@register("median", title="Median", paper="Yin et al., ICML 2018")
class Median(Algorithm):
    """Each round the global model moves to the median of the cohort's models, coordinate by coordinate.

    DEVIATION: the paper takes the median of gradients; here, as FedAvg averages, of models after local training.
    """

    class Params(Hyperparameters):
        """Hyper-parameters."""

        server_lr: float = parameter(1.0, unit="share of the way", source="paper", gt=0, le=1)

    params: Params

    def setup(self) -> None:
        """Make the global model."""
        self.server = self.fed.model()
        if len({self.fed.model(client=k).feature_width for k in range(self.fed.clients)}) > 1:
            raise Unsupported("needs clients whose models are alike; few hold a channel of a slice")

    def step(self, t: int) -> None:
        """One communication round."""
        received = self.fed.broadcast(self.server, self.fed.cohort(t))
        updates = self.fed.train(received).keep()
        for name, tensor in self.server.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(_median([update.state[name] for update in updates]), self.params.server_lr)


def _median(tensors: list[Tensor]) -> Tensor:
    """The mean of the two middle values where their number is even."""
    return torch.quantile(torch.stack(tensors), 0.5, dim=0)
