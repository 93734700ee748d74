"""Clients that differ in how much they hold, not in what."""

import numpy as np
from pydantic import Field

from mosaic_bench.data.partition.base import Partition, cut, register_partition
from mosaic_bench.data.partition.shares import dirichlet_shares


@register_partition("quantity")
class Quantity(Partition):
    """Quantity skew: sizes from q ~ Dir(α · 1_K), images label-blind (Li et al., ICDE 2022, section IV-C)."""

    alpha: float = Field(gt=0, description="Dirichlet concentration; smaller is more unequal")

    def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
        """Cut a random permutation in random proportions."""
        order = rng.permutation(len(labels))
        owner = np.empty(len(labels), dtype=np.int64)
        owner[order] = cut(order, dirichlet_shares(self.alpha, np.ones(clients, dtype=bool), rng))
        return owner
