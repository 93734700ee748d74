"""Equal, label-blind parts."""

import numpy as np

from mosaic_bench.data.partition.base import Partition, register_partition


@register_partition("iid")
class Iid(Partition):
    """A random permutation cut into equal parts: sizes differ by one at most (McMahan et al., AISTATS 2017)."""

    def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
        """Deal the images like cards."""
        return rng.permutation(len(labels)) % clients
