"""What a partition is, and the guarantees that hold for every scheme."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mosaic_bench.data.errors import DataError

log = logging.getLogger(__name__)

# At α = 0.01 with 10 clients one draw in five succeeds (scheme "capped"), so 50 fail together once in 10^5.
DRAWS = 50


class Partition(BaseModel, ABC):
    """A way to deal the training images to the clients. Its fields are the parameters of the scheme.

    A scheme implements `owners` and registers itself with `register_partition`. numpy's legacy generator draws,
    because its stream is frozen for ever and published partitions were made with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # Batch normalisation needs two images in a batch, so no client may have fewer.
    min_size: int = Field(2, ge=2, description="smallest number of images a client may have")

    @abstractmethod
    def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
        """One draw of the scheme: which client gets each image.

        Args:
            labels: int64 class numbers, shape (N,).
            clients: number of clients.
            classes: number of classes of the data set.
            rng: makes every random choice.

        Returns:
            int64 client numbers below `clients`, shape (N,).

        Raises:
            DataError: if the scheme cannot serve these clients.
        """

    def split(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> list[np.ndarray]:
        """Deal the images: every image to exactly one client, at least `min_size` to each.

        A draw that leaves a client short is repeated up to 50 times; after that, images move from the largest clients
        to the short ones, and a warning says so.

        Args:
            labels: int64 class numbers, shape (N,).
            clients: number of clients.
            classes: number of classes of the data set.
            rng: makes every random choice.

        Returns:
            One ascending int64 index vector per client.

        Raises:
            DataError: at once, if there are too few images for that many clients, or the scheme cannot serve them or
                names a client that there is not.
        """
        if clients < 1 or clients * self.min_size > len(labels):
            raise DataError(
                f"{len(labels)} images cannot give {clients} clients at least {self.min_size} each: "
                "use fewer clients, more images, or a smaller min_size."
            )
        for _ in range(DRAWS):
            owner = self._checked(self.owners(labels, clients, classes, rng), len(labels), clients)
            sizes = np.bincount(owner, minlength=clients)
            if sizes.min() >= self.min_size:
                return _members(owner, clients)
        log.warning(
            "%r left clients below %d images in %d draws; moving images from the largest clients",
            self,
            self.min_size,
            DRAWS,
        )
        return _repair(_members(owner, clients), self.min_size, rng)

    def _checked(self, owner: np.ndarray, images: int, clients: int) -> np.ndarray:
        owner = np.asarray(owner)
        if owner.shape != (images,) or owner.dtype.kind not in "iu" or owner.min() < 0 or owner.max() >= clients:
            raise DataError(
                f"{self!r} gave the owners {owner}; "
                f"return one client number from 0 to {clients - 1} for each of the {images} images."
            )
        return owner


PARTITIONS: dict[str, type[Partition]] = {}

Scheme = TypeVar("Scheme", bound=type[Partition])


def register_partition(name: str) -> Callable[[Scheme], Scheme]:
    """Class decorator that makes a scheme available under `name` in suite files."""

    def register(scheme: Scheme) -> Scheme:
        if name in PARTITIONS:
            raise ValueError(f"a partition named {name!r} is already registered: {PARTITIONS[name]}")
        PARTITIONS[name] = scheme
        return scheme

    return register


def cut(members: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Owners of `members` when they are cut into consecutive pieces, one per client.

    The cut after client k lies at floor(n · Σ_{j ≤ k} shares_j), as published code has it; what rounding leaves over
    goes to the last client.

    Args:
        members: the n images to deal, in the order in which they are dealt.
        shares: non-negative, one per client, with sum 1.

    Returns:
        int64 client numbers, shape (n,), ascending.
    """
    cuts = (np.cumsum(shares) * len(members)).astype(np.int64)[:-1]
    sizes = np.diff(cuts, prepend=0, append=len(members))
    return np.repeat(np.arange(len(shares)), sizes)


def _members(owner: np.ndarray, clients: int) -> list[np.ndarray]:
    by_client = np.argsort(owner, kind="stable")
    return np.split(by_client, np.cumsum(np.bincount(owner, minlength=clients))[:-1])


def _repair(parts: list[np.ndarray], min_size: int, rng: np.random.RandomState) -> list[np.ndarray]:
    """Move images, drawn at random from whoever is largest, until every client has `min_size`.

    It ends: there are enough images for all, so while one client is short the largest has some to spare, and every move
    either fills the short one or leaves the largest at the minimum.
    """
    sizes = np.array([len(part) for part in parts])
    for short in np.flatnonzero(sizes < min_size):
        while sizes[short] < min_size:
            donor = int(sizes.argmax())
            count = min(sizes[donor] - min_size, min_size - sizes[short])
            shuffled = rng.permutation(parts[donor])
            parts[donor] = shuffled[count:]
            parts[short] = np.concatenate([parts[short], shuffled[:count]])
            sizes[donor] -= count
            sizes[short] += count
    return [np.sort(part) for part in parts]
