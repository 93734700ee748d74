"""Dirichlet proportions that are always proportions."""

import numpy as np


def dirichlet_shares(alpha: float, open_to: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Draw p ~ Dir(α · 1_K), set the clients that are not open to zero, and renormalise.

    For small α every open client's share may underflow, to zero or to 0/0 inside numpy. All mass then goes to one open
    client drawn uniformly, the limit of the distribution for α → 0. The usual case draws nothing beyond p, so published
    random streams are kept.

    Args:
        alpha: concentration, positive.
        open_to: bool, shape (K,); clients that may receive something. If none may, all may.
        rng: draws p.

    Returns:
        float64 shares, shape (K,), with sum 1.
    """
    shares = rng.dirichlet(np.full(len(open_to), alpha))
    if not open_to.any():
        open_to = np.ones_like(open_to)
    shares = np.where(open_to, shares, 0.0)
    total = shares.sum()
    if not 0 < total < np.inf:
        shares = np.zeros(len(open_to))
        shares[rng.choice(np.flatnonzero(open_to))] = 1.0
        return shares
    return shares / total
