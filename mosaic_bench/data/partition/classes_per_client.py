"""Clients that know only a few classes."""

import numpy as np
from pydantic import Field

from mosaic_bench.data.errors import DataError
from mosaic_bench.data.partition.base import Partition, register_partition


@register_partition("classes_per_client")
class ClassesPerClient(Partition):
    """Every client holds the same number of classes, every class is divided equally among its holders.

    Two classes per client is the "non-iid-2" setting of Diao et al. (HeteroFL, ICLR 2021).
    """

    classes: int = Field(ge=1, description="classes per client")

    def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
        """Choose the classes of each client, then deal each class like cards."""
        present = np.unique(labels)
        self._check(clients, len(present))
        holds = self._choose(clients, len(present), rng)
        owner = np.empty(len(labels), dtype=np.int64)
        for column, label in enumerate(present):
            holders = rng.permutation(np.flatnonzero(holds[:, column]))
            members = rng.permutation(np.flatnonzero(labels == label))
            owner[members] = holders[np.arange(len(members)) % len(holders)]
        return owner

    def _check(self, clients: int, present: int) -> None:
        if self.classes > present:
            raise DataError(f"a client cannot hold {self.classes} classes: the images show only {present}.")
        if clients * self.classes < present:
            raise DataError(
                f"{clients} clients with {self.classes} classes each cannot hold all {present} classes: "
                "use more clients or more classes per client."
            )

    def _choose(self, clients: int, present: int, rng: np.random.RandomState) -> np.ndarray:
        """Which client holds which class, bool (clients, present).

        Each client in turn takes the classes with the fewest holders, ties at random, so the numbers of holders
        differ by one at most and no class is left out.
        """
        holds = np.zeros((clients, present), dtype=bool)
        for client in range(clients):
            fewest_first = np.lexsort((rng.permutation(present), holds.sum(axis=0)))
            holds[client, fewest_first[: self.classes]] = True
        return holds
