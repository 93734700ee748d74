"""Dividing a whole number of things in given proportions."""

import numpy as np


def apportion(total: int, weights: np.ndarray, rng: np.random.RandomState | None = None) -> np.ndarray:
    """Divide `total` in proportion to `weights` by largest remainders (Hamilton's method).

    Args:
        total: how many things to divide.
        weights: non-negative, shape (n,), with a positive sum.
        rng: decides between equal remainders; without it the earlier entry wins.

    Returns:
        int64 counts, shape (n,), that sum to `total` and differ from exact proportion by less than one each.
    """
    exact = total * np.asarray(weights, dtype=np.float64) / np.sum(weights)
    counts = np.floor(exact).astype(np.int64)
    tie_break = np.arange(len(counts)) if rng is None else rng.permutation(len(counts))
    # Rounding keeps remainders that are equal on paper equal in floating point.
    remainder = np.round(exact - counts, 9)
    largest_first = np.lexsort((tie_break, -remainder))
    counts[largest_first[: total - counts.sum()]] += 1
    return counts
