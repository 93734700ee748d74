"""FedAvg: average what the clients trained (McMahan et al., AISTATS 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from mosaic_bench.api import Algorithm, Hyperparameters, Predictors, Stage, register


@register("fedavg", title="FedAvg", paper="McMahan et al., AISTATS 2017")
class FedAvg(Algorithm):
    """Each round the cohort trains from the global model; its sample-weighted average is the next one.

    Under width budgets every coordinate is averaged over the clients that hold it, which makes this HeteroFL, FedRolex
    or federated dropout, as the suite extracts the slices. Clients with different architectures are averaged within
    each architecture.
    """

    slice_titles: ClassVar[Mapping[str, str]] = {
        "static": "HeteroFL",
        "rolling": "FedRolex",
        "random": "Federated Dropout",
    }

    @classmethod
    def stages(cls, params: Hyperparameters, rounds: int, cohort: int) -> Sequence[Stage]:
        """Every round serves methods that warm up with rounds of FedAvg."""
        return [Stage(FedAvg, "rounds", rounds, keeps=("servers",))]

    def setup(self) -> None:
        """Make one global model per architecture."""
        self.servers = self.fed.models()

    def step(self, t: int) -> None:
        """One communication round."""
        updates = self.fed.train(self.fed.broadcast(self.servers, self.fed.cohort(t)))
        self.fed.average_(self.servers, updates)

    def predictors(self) -> Predictors:
        """Evaluate the global model of each architecture."""
        return {"server": self.servers}
