"""Local: every client trains alone. What a federation has to beat."""

from __future__ import annotations

from mosaic_bench.api import Algorithm, Predictors, register


@register("local", title="Local", paper="control: no federation")
class Local(Algorithm):
    """Each round the cohort goes on training its own models; nothing crosses the network.

    What is deployed are the clients' own models, so ``server`` is their mean accuracy on the global test images.
    """

    def setup(self) -> None:
        """Make every client's model."""
        self.own = {client: self.fed.model(client=client) for client in range(self.fed.clients)}

    def step(self, t: int) -> None:
        """One round of local training without any exchange."""
        for update in self.fed.train(self.fed.stay(self.own, self.fed.cohort(t))):
            self.own[update.client].load_state_dict(update.state)

    def predictors(self) -> Predictors:
        """Evaluate every client's model."""
        return {"server": {str(client): model for client, model in self.own.items()}}
