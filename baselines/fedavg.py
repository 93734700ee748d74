"""FedAvg: average what the clients trained (McMahan et al., AISTATS 2017)."""

from __future__ import annotations

from mosaic_bench.api import Algorithm, register


@register("fedavg", title="FedAvg", paper="McMahan et al., AISTATS 2017")
class FedAvg(Algorithm):
    """Each round the cohort trains from the global model; its sample-weighted average is the next one.

    Under width budgets the average runs over the clients that hold a coordinate, which makes this HeteroFL, FedRolex
    or federated dropout, as the suite extracts the slices.
    """

    def setup(self) -> None:
        """Make the global model."""
        self.server = self.fed.model()

    def step(self, t: int) -> None:
        """One communication round."""
        updates = self.fed.train(self.fed.broadcast(self.server, self.fed.cohort(t)))
        self.fed.average_(self.server, updates)
