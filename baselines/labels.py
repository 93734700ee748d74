"""Who holds which classes, and what is drawn for generators and distillation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mosaic_bench.api import Federation, Random


def label_counts(fed: Federation, known: dict[int, Tensor], cohort: Sequence[int]) -> Tensor:
    """Images of each class at each client of the cohort, int64 (K, C).

    Clients upload their counts in the first round they take part in; ``known`` (client -> counts) keeps them.
    """
    unknown = [client for client in cohort if client not in known]
    known |= fed.map(lambda data: data.counts, unknown, "label counts")
    return torch.stack([known[client] for client in cohort])


def class_weights(counts: Tensor) -> Tensor:
    """α_{k,c} = n_{k,c} / Σ_j n_{j,c}, float32 (K, C); 0 for every k where no client holds class c (FedFTG, FedGen).

    Args:
        counts: images of each class at each client of the cohort, (K, C).
    """
    return counts / counts.sum(0).clamp(min=torch.finfo(torch.float32).tiny)


def quota_labels(counts: Tensor, n: int, random: Random) -> Tensor:
    """Draw n labels in proportion to ``counts``, int64 (n,), in random order (FedFTG's customised label sampling).

    Each class gets its exact share, rounded up or down; a class of count 0 never appears.

    Args:
        counts: not negative, int64 (C,), not all 0.
    """
    last = counts.cumsum(0) * n // counts.sum()  # exact in integers: the last one is n
    labels = torch.searchsorted(last, torch.arange(n, device=counts.device), right=True)
    return labels[random.permutation(n)]


def shuffled_positions(n: int, size: int, random: Random) -> Iterator[Tensor]:
    """Yield batches of positions in {0, ..., n - 1} without end, each epoch in a new order.

    A last batch of one is dropped, since BatchNorm cannot train on it.

    Raises:
        ValueError: n is less than 2.
    """
    if n < 2:
        raise ValueError(f"cannot make batches of {n} images")
    while True:
        yield from (part for part in random.permutation(n).split(size) if len(part) > 1)
