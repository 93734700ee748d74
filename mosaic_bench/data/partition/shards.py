"""The label-sorted shards of the paper that named federated learning."""

import numpy as np
from pydantic import Field

from mosaic_bench.data.errors import DataError
from mosaic_bench.data.partition.base import Partition, register_partition


@register_partition("shards")
class Shards(Partition):
    """Images sorted by label, cut into equal shards, the same number to each client (McMahan et al., AISTATS 2017)."""

    per_client: int = Field(2, ge=1, description="shards per client")

    def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
        """Deal the shards at random."""
        shards = clients * self.per_client
        if shards > len(labels):
            raise DataError(
                f"{len(labels)} images cannot be cut into {clients} × {self.per_client} shards: lower per_client."
            )
        shard_of_rank = np.arange(len(labels)) * shards // len(labels)
        client_of_shard = rng.permutation(shards) // self.per_client
        owner = np.empty(len(labels), dtype=np.int64)
        owner[np.argsort(labels, kind="stable")] = client_of_shard[shard_of_rank]
        return owner
