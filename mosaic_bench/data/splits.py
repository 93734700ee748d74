"""Splits beside the clients' own: validation and public images, and a test set for every client."""

from typing import Literal

import numpy as np

from mosaic_bench.data.apportion import apportion
from mosaic_bench.data.errors import DataError


def stratified_sample(labels: np.ndarray, count: int, rng: np.random.RandomState) -> np.ndarray:
    """Indices of `count` samples in which every class keeps its share, rounded by largest remainders.

    Args:
        labels: int64 class numbers, shape (N,).
        count: how many samples to draw, at most N.
        rng: draws the members of each class.

    Returns:
        Ascending int64 indices, shape (count,).
    """
    _, class_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = apportion(count, sizes)
    chosen = [rng.permutation(np.flatnonzero(class_of == c))[:quota] for c, quota in enumerate(quotas)]
    return np.sort(np.concatenate(chosen))


def hold_out(labels: np.ndarray, amount: float | int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Set a class-stratified part aside, for validation or as the server's public images.

    Args:
        labels: int64 class numbers, shape (N,).
        amount: a fraction in [0, 1) if it is a float, a number of samples in [0, N) if it is an int.
        rng: draws the samples.

    Returns:
        The held-out and the remaining indices, both ascending int64.

    Raises:
        DataError: if the amount is out of range.
    """
    count = amount if isinstance(amount, int) else round(amount * len(labels))
    if not 0 <= count < len(labels) or (isinstance(amount, float) and not 0 <= amount < 1):
        raise DataError(
            f"cannot hold out {amount} of {len(labels)} images: give a fraction below 1 or a smaller number."
        )
    if count == 0:
        return np.empty(0, dtype=np.int64), np.arange(len(labels))
    held = stratified_sample(labels, count, rng)
    return held, np.setdiff1d(np.arange(len(labels)), held, assume_unique=True)


def client_test_split(
    labels: np.ndarray, train_counts: np.ndarray, mix: Literal["global", "own"], rng: np.random.RandomState
) -> list[np.ndarray]:
    """Deal the test images to the clients, every image to one client at most.

    With the mix "global" each class is divided equally, so every client is tested on the mix of the whole test set.
    With "own" each class is divided as its training images were, so every client is tested on the mix it trained on;
    a class that no client trained on is tested by none, and a client with very few training images may get no test
    image.

    Args:
        labels: int64 class numbers of the test set, shape (N,).
        train_counts: training images per client and class, shape (clients, classes).
        mix: which label mix the clients' test sets follow.
        rng: draws the members and settles rounding ties.

    Returns:
        One ascending int64 index vector per client.
    """
    shares = np.ones_like(train_counts) if mix == "global" else train_counts
    owner = np.full(len(labels), -1, dtype=np.int64)
    for label in range(train_counts.shape[1]):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) and shares[:, label].any():
            counts = apportion(len(members), shares[:, label], rng)
            owner[members] = np.repeat(np.arange(len(counts)), counts)
    return [np.flatnonzero(owner == client) for client in range(len(train_counts))]
