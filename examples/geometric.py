"""Clients of very different sizes: each is expected to hold `ratio` times what the one before it holds."""

import numpy as np
from pydantic import Field

from mosaic_bench.data import Partition, register_partition


@register_partition("geometric")
class Geometric(Partition):
    """Images are dealt one by one, to client k with a probability proportional to ratio^k, whatever their labels."""

    ratio: float = Field(0.5, gt=0, lt=1, description="expected size of a client, relative to the one before it")

    def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
        """Draw the owner of each image."""
        shares = self.ratio ** np.arange(clients)
        return rng.choice(clients, size=len(labels), p=shares / shares.sum())
