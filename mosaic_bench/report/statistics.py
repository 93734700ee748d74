"""What results support: intervals, paired comparisons, corrections and ranks.

Seeds are few and runs are dear, so every test says when it cannot support a claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TypeVar

import numpy as np
import pandas as pd

LEVEL = 0.05
"""Level of significance of every test and, from 1, of every interval."""

FEWEST_FOR_INTERVAL = 3
"""Values below which an interval is not given: of two it is a dozen times as wide as their distance."""

FEWEST_FOR_CLAIM = 6
"""Seeds from which the exact paired test can reach the level: its smallest p is 2 / 2^n."""

Values = Sequence[float] | np.ndarray
Numbers = TypeVar("Numbers", float, np.ndarray, pd.DataFrame)

_MOST_EXACT = 16  # values; 65,536 sign patterns
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of two methods.

    Attributes:
        difference: mean of the first less mean of the second.
        low, high: interval of the difference at 1 - LEVEL; None where the test gives none.
        p: two-sided.
        basis: what p rests on, such as ``5 seeds``.
        smallest: the smallest p that it could have been.
    """

    difference: float
    low: float | None
    high: float | None
    p: float
    basis: str
    smallest: float


def settled(numbers: Numbers) -> Numbers:
    """Round means of shares to 12 digits: equal ones summed in another order, or of other values, are then equal."""
    return np.round(numbers, 12)  # type: ignore[return-value]  # numpy's types do not know pandas


def interval_of_mean(values: Values) -> tuple[float, float] | None:
    """Return Student's interval of the mean at 1 - LEVEL; None below ``FEWEST_FOR_INTERVAL`` values.

    Exact for values that are normal. Resampling so few, as the percentile bootstrap does, covers far less than it says.
    """
    from scipy.special import stdtrit

    n = len(values)
    if n < FEWEST_FOR_INTERVAL:
        return None
    given = np.asarray(values, dtype=float)
    half = stdtrit(n - 1, 1 - LEVEL / 2) * given.std(ddof=1) / np.sqrt(n)
    return float(given.mean() - half), float(given.mean() + half)


def paired_over_seeds(first: Values, second: Values, seed: int = 0) -> Comparison:
    """Compare runs that share seeds, by the sign-flip permutation test of the mean difference.

    Exact up to 16 pairs; beyond, over 10,000 random sign patterns, the observed one included.
    """
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    n = len(differences)
    exact = n <= _MOST_EXACT
    means = np.abs((_all_signs(n) if exact else _some_signs(n, seed)) @ differences)
    observed = np.abs(differences.sum())
    p = float(np.mean(means >= observed * (1 - 1e-12)))  # sums in another order differ in the last bits
    smallest = 2 / 2**n if exact else 1 / _RESAMPLES
    return Comparison(float(differences.mean()), None, None, p, f"{n} seed{'s' * (n != 1)}", smallest)


def paired_over_images(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Comparison:
    """Compare what two methods got right on the same test images, by the paired bootstrap over images.

    It speaks of these trained models on other images of the same kind, not of other seeds.

    Args:
        first, second: shape (seeds, images), rows of the same seeds: bool, or the share of a group's members in [0, 1].
        seed: of the resampling.
    """
    differences = settled((first.astype(float) - second).mean(axis=0))
    # The mean of resampled images depends on how often each distinct difference is drawn, and on nothing else.
    values, counts = np.unique(differences, return_counts=True)
    n = len(differences)
    draws = np.random.default_rng(seed).multinomial(n, counts / n, size=_RESAMPLES) @ values / n
    low, high = np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2])
    tail = min(np.mean(draws <= 0), np.mean(draws >= 0))
    p = float(min(1.0, 2 * max(tail, 1 / _RESAMPLES)))
    basis = f"{_RESAMPLES:,} resamples of {n:,} images"
    return Comparison(float(differences.mean()), float(low), float(high), p, basis, 2 / _RESAMPLES)


@cache
def _all_signs(n: int) -> np.ndarray:
    return np.array(list(product((1, -1), repeat=n)), dtype=float)


def _some_signs(n: int, seed: int) -> np.ndarray:
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(_RESAMPLES, n))
    signs[0] = 1
    return signs


def holm(p_values: Values) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down method (1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


@dataclass(frozen=True)
class Ranking:
    """Methods ranked over data sets (Demsar, JMLR 2006).

    Settings of one data set go up and down together, so a data set counts once: methods are ranked on it by their mean
    rank over its settings.

    Attributes:
        ranks: average rank over data sets by method, 1 is best, ties share the mean of their ranks; best first.
        settings: how many settings were ranked.
        datasets: how many data sets they are of.
        p: Friedman's test of equal ranks; None with fewer than three methods or two data sets.
        critical_difference: ranks further apart than this differ at LEVEL by Nemenyi's test; None where ``p`` is.
        caveat: what the number of methods or data sets does not support, in one sentence; empty when nothing.
    """

    ranks: pd.Series
    settings: int
    datasets: int
    p: float | None
    critical_difference: float | None
    caveat: str


def rank_methods(scores: pd.DataFrame) -> Ranking:
    """Rank methods.

    Args:
        scores: one row per setting and one column per method, the index names the setting's data set; higher scores are
            better, and settings with a gap are left out.
    """
    from scipy.stats import friedmanchisquare

    complete = settled(scores.dropna())
    by_setting = complete.rank(axis=1, ascending=False)
    by_dataset = settled(by_setting.groupby(level=0, sort=False).mean()).rank(axis=1)
    ranks = by_dataset.mean().sort_values(kind="stable")
    settings, (n, k) = len(complete), by_dataset.shape
    caveat = _ranking_caveat(n, k)
    if n < 2 or k < 3:
        return Ranking(ranks, settings, n, None, None, caveat)
    if (by_dataset.nunique(axis=1) == 1).all():
        return Ranking(ranks, settings, n, 1.0, None, "every method is equal on every data set")
    p = float(friedmanchisquare(*(by_dataset[name] for name in by_dataset)).pvalue)
    return Ranking(ranks, settings, n, p, critical_difference(n, k), caveat)


def critical_difference(datasets: int, methods: int) -> float:
    """Return Nemenyi's critical difference q_a * sqrt(k (k + 1) / 6 N) for k methods over N data sets at LEVEL."""
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - LEVEL, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * datasets)))


def _ranking_caveat(datasets: int, methods: int) -> str:
    if methods < 3:
        return f"{methods} methods: Friedman's test needs three"
    if datasets < 2:
        return f"{datasets} data set{'s' * (datasets != 1)}: Friedman's test needs two, and many more to find anything"
    if datasets < 10 or methods < 5:
        return (
            f"{datasets} data sets and {methods} methods: Friedman's chi-square is an approximation for ten data sets "
            "and five methods or more"
        )
    return ""
