"""What a partition gave each client, in numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def class_counts(labels: np.ndarray, parts: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Images per client and class, int64, shape (clients, classes)."""
    return np.array([np.bincount(labels[part], minlength=classes) for part in parts], dtype=np.int64)


def audit(labels: np.ndarray, parts: Sequence[np.ndarray], classes: int) -> dict[str, Any]:
    """Describe a partition. The same α means different skew in different schemes; these numbers compare across them.

    Args:
        labels: int64 class numbers, shape (N,).
        parts: one index vector per client, none empty.
        classes: number of classes.

    Returns:
        Plain values, ready for JSON:
        `table` (images per client and class), `sizes` (images per client), `entropy` (of each client's label mix, in
        nats), `total_variation` (½ Σ_c |p_k(c) − p(c)| between each client's mix p_k and the mix p of all clients
        together), `mean_entropy` and `mean_total_variation` (over clients, unweighted).
    """
    table = class_counts(labels, parts, classes)
    mixes = table / table.sum(axis=1, keepdims=True)
    global_mix = table.sum(axis=0) / table.sum()
    logs = np.log(mixes, where=mixes > 0, out=np.zeros_like(mixes))
    entropy = np.abs((mixes * logs).sum(axis=1))
    distance = 0.5 * np.abs(mixes - global_mix).sum(axis=1)
    return {
        "table": table.tolist(),
        "sizes": table.sum(axis=1).tolist(),
        "entropy": entropy.tolist(),
        "total_variation": distance.tolist(),
        "mean_entropy": float(entropy.mean()),
        "mean_total_variation": float(distance.mean()),
    }
