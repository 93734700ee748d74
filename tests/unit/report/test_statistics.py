"""Statistics against cases worked by hand, and against scipy's on random ones."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mosaic_bench.report.statistics import (
    FEWEST_FOR_CLAIM,
    LEVEL,
    critical_difference,
    holm,
    interval_of_mean,
    paired_over_images,
    paired_over_seeds,
    rank_methods,
)

accuracies = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 4))


# -- paired over seeds ------------------------------------------------------------------------------------------------


def test_three_seeds_that_all_agree_have_p_one_quarter() -> None:
    """Of the eight sign patterns of (.1, .2, .3) only the observed one and its mirror are as extreme."""
    compared = paired_over_seeds([0.6, 0.7, 0.8], [0.5, 0.5, 0.5])
    assert compared.p == 2 / 8 == compared.smallest
    assert compared.difference == pytest.approx(0.2)
    assert paired_over_seeds([0.6, 0.4], [0.5, 0.5]).p == 1.0


def test_six_seeds_are_the_fewest_that_can_support_a_claim() -> None:
    for n in (FEWEST_FOR_CLAIM - 1, FEWEST_FOR_CLAIM):
        compared = paired_over_seeds([0.6] * n, [0.5] * n)
        assert (compared.p < LEVEL) == (n >= FEWEST_FOR_CLAIM)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=8))
def test_the_exact_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    differences = np.subtract(first, second)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    assert paired_over_seeds(first, second).p == pytest.approx(expected.pvalue)


def test_many_seeds_are_sampled_and_agree_with_the_t_test() -> None:
    drawn = np.random.default_rng(0).normal(0.01, 0.05, 30)
    compared = paired_over_seeds(drawn, np.zeros(30))
    assert compared.p == pytest.approx(stats.ttest_1samp(drawn, 0).pvalue, abs=0.02)


# -- intervals, images ------------------------------------------------------------------------------------------------


def test_an_interval_by_hand_and_none_below_three_values() -> None:
    """Mean 0.2, s = 0.1, and t of 2 degrees of freedom at 97.5 % is 4.303: 4.303 · 0.1 / √3 = 0.2484."""
    assert interval_of_mean([0.1, 0.2, 0.3]) == pytest.approx((0.2 - 0.2484, 0.2 + 0.2484), abs=1e-4)
    assert interval_of_mean([0.1, 0.2]) is None
    assert interval_of_mean([0.5] * 5) == (0.5, 0.5)


def test_an_interval_of_five_seeds_covers_as_often_as_it_says() -> None:
    """Normal values: 95 %, where percentiles of resampled means would cover some 85 %."""
    drawn = np.random.default_rng(0).normal(size=(4000, 5))
    covered = [low <= 0 <= high for low, high in filter(None, map(interval_of_mean, drawn))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)


def assert_quantiles(low: float, high: float, distribution: np.ndarray) -> None:
    """Each end is a quantile of scipy's resampled means, give or take 1 % of probability: means come in steps."""
    for end, tail in ((low, distribution), (-high, -distribution)):
        assert np.mean(tail < end - 1e-9) <= LEVEL / 2 + 0.01
        assert np.mean(tail <= end + 1e-9) >= LEVEL / 2 - 0.01


def test_images_on_which_methods_agree_say_nothing() -> None:
    """100 images; the first method gets 10 right that the second gets wrong, and none the other way."""
    second = np.array([[True] * 50 + [False] * 50])
    first = second.copy()
    first[0, 50:60] = True
    compared = paired_over_images(first, second)
    assert (compared.difference, compared.basis) == (pytest.approx(0.1), "10,000 resamples of 100 images")
    assert compared.p == compared.smallest  # resampling ten of a hundred images never gives a mean of zero
    assert paired_over_images(first, first).p == 1.0


@settings(max_examples=8, deadline=None)
@given(arrays(bool, (2, 3, 60)))
def test_the_interval_over_images_is_scipys_paired_bootstrap(correct: np.ndarray) -> None:
    first, second = correct
    compared = paired_over_images(first, second)
    means = first.mean(axis=0), second.mean(axis=0)
    expected = stats.bootstrap(
        means,
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        method="percentile",
        paired=True,
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    )
    assert compared.low is not None
    assert compared.high is not None
    assert_quantiles(compared.low, compared.high, expected.bootstrap_distribution)
    assert compared.low <= compared.difference <= compared.high


# -- several comparisons, ranks ---------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    """.01 · 3 = .03, then max(.03, .02 · 2) = .04, then max(.04, .04 · 1)."""
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_statsmodels(seed: int) -> None:
    draw = np.random.default_rng(seed)
    p = np.round(draw.random(draw.integers(1, 12)) ** 2, 2)  # ties among them
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_ranks_by_hand_ties_share_and_gaps_leave_a_setting_out() -> None:
    scores = pd.DataFrame({"a": [0.9, 0.8, 0.7, 0.1], "b": [0.5, 0.8, 0.6, np.nan], "c": [0.1, 0.2, 0.3, 0.4]})
    ranking = rank_methods(scores)
    assert ranking.settings == 3
    assert dict(ranking.ranks) == pytest.approx({"a": (1 + 1.5 + 1) / 3, "b": (2 + 1.5 + 2) / 3, "c": 3.0})
    assert "Friedman's chi-square is an approximation" in ranking.caveat


def test_settings_of_one_data_set_count_once() -> None:
    """On x the mean ranks are 4/3, 5/3 and 3, so a, b, c; on y c, b, a: (1 + 3) / 2 for a, not (4 + 3) / 4."""
    scores = pd.DataFrame(
        [[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [0.8, 0.9, 0.7], [0.1, 0.2, 0.3]], ["x", "x", "x", "y"], list("abc")
    )
    ranking = rank_methods(scores)
    assert (ranking.settings, ranking.datasets) == (4, 2)
    assert dict(ranking.ranks) == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert ranking.p == pytest.approx(1.0)
    one = rank_methods(scores.loc[["x"]])
    assert (dict(one.ranks), one.datasets, one.p, one.critical_difference) == ({"a": 1, "b": 2, "c": 3}, 1, None, None)
    assert one.caveat.startswith("1 data set: Friedman's test needs two")


def test_means_that_differ_in_the_last_bit_share_a_rank() -> None:
    scores = pd.DataFrame({"a": [np.mean([0.1, 0.2])] * 4, "b": [0.15] * 4, "c": [0.05] * 4})
    assert (scores["a"] != scores["b"]).all()
    assert dict(rank_methods(scores).ranks) == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_the_critical_difference_is_demsars_example() -> None:
    """Table 6 of Demsar (2006): four classifiers on 14 data sets, q.05 = 2.569, CD = 1.25."""
    assert critical_difference(datasets=14, methods=4) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)


@settings(max_examples=15, deadline=None)
@given(arrays(float, (6, 4), elements=accuracies, unique=True))
def test_friedman_is_scipys_and_the_critical_difference_agrees_with_nemenyis_test(scores: np.ndarray) -> None:
    ranking = rank_methods(pd.DataFrame(scores, columns=list("abcd")))
    assert ranking.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert ranking.critical_difference is not None
    pairwise = posthoc_nemenyi_friedman(scores)
    for first, second in combinations(range(4), 2):
        distance = abs(ranking.ranks["abcd"[first]] - ranking.ranks["abcd"[second]])
        if abs(distance - ranking.critical_difference) > 1e-6:
            assert (pairwise.loc[first, second] < LEVEL) == (distance > ranking.critical_difference)


@pytest.mark.parametrize(("rows", "columns", "reason"), [(5, 2, "needs three"), (1, 4, "needs two")])
def test_too_few_methods_or_settings_have_ranks_and_no_test(rows: int, columns: int, reason: str) -> None:
    ranking = rank_methods(pd.DataFrame(np.random.default_rng(0).random((rows, columns))))
    assert (ranking.p, ranking.critical_difference) == (None, None)
    assert reason in ranking.caveat
