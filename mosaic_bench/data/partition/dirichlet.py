"""Label skew from Dirichlet draws, in the two schemes that published comparisons use."""

from typing import Literal

import numpy as np
from pydantic import Field

from mosaic_bench.data.partition.base import Partition, cut, register_partition
from mosaic_bench.data.partition.shares import dirichlet_shares


@register_partition("dirichlet")
class Dirichlet(Partition):
    """Each class is divided over the clients in proportions p ~ Dir(α · 1_K).

    "plain" is the textbook scheme (Yurochkin et al., ICML 2019). "capped" gives no further class to a client that
    already holds N / K images, which keeps sizes within about 2N / K; DENSE (Zhang et al., NeurIPS 2022) and Mosaic
    publish partitions made that way, and it reproduces their tables image for image. The same α gives the two schemes
    different skew, so they are not interchangeable.
    """

    alpha: float = Field(gt=0, description="Dirichlet concentration; smaller is more skewed")
    scheme: Literal["capped", "plain"] = Field(
        "capped", description="whether a client with N / K images gets more classes"
    )
    min_size: int = Field(10, ge=2, description="smallest number of images a client may have")

    def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
        """Divide the classes one after the other, in label order.

        The order of the draws (shuffle, then proportions) is part of the published scheme.
        """
        owner = np.empty(len(labels), dtype=np.int64)
        sizes = np.zeros(clients, dtype=np.int64)
        for label in range(classes):
            members = np.flatnonzero(labels == label)
            rng.shuffle(members)
            open_to = sizes < len(labels) / clients if self.scheme == "capped" else np.ones(clients, dtype=bool)
            owner[members] = cut(members, dirichlet_shares(self.alpha, open_to, rng))
            sizes += np.bincount(owner[members], minlength=clients)
        return owner
