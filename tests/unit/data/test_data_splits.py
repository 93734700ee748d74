"""Subsets, held-out splits and per-client test sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published import write_npz

from mosaic_bench.data import DataError, Dataset, client_test_split, hold_out, open_dataset
from mosaic_bench.data.apportion import apportion

LABELS = np.repeat(np.arange(5), [100, 200, 300, 200, 200])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    directory = tmp_path_factory.mktemp("data")
    write_npz(directory / "own.npz", n=400)
    return open_dataset("own", [directory], directory / "cache")


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=50).filter(lambda weights: sum(weights) > 1e-3),
    st.integers(0, 10_000),
)
def test_apportioned_counts_add_up_and_keep_proportions(weights: list[float], total: int) -> None:
    counts = apportion(total, np.array(weights))
    assert counts.sum() == total
    assert (np.abs(counts - total * np.array(weights) / sum(weights)) < 1 + 1e-6).all()


def test_a_subset_is_stratified_and_the_same_each_time(dataset: Dataset) -> None:
    first, again = dataset.subset(train=100, test=50), dataset.subset(train=100, test=50)
    assert np.bincount(first.train.labels).tolist() == [25] * 4
    assert len(first.test) == 50
    assert first.digest == again.digest != dataset.digest
    np.testing.assert_array_equal(first.train.images, again.train.images)


def test_a_subset_does_not_depend_on_numpys_global_seed(dataset: Dataset) -> None:
    subsets = []
    for seed in (0, 1):
        np.random.seed(seed)
        subsets.append(dataset.subset(train=30).train.images)
    np.testing.assert_array_equal(*subsets)


def test_a_subset_of_everything_is_the_data_set_itself(dataset: Dataset) -> None:
    assert dataset.subset() is dataset
    assert dataset.subset(train=400, test=200) is dataset


@pytest.mark.parametrize("count", [0, -1, 401])
def test_a_subset_of_more_than_there_is_is_refused(dataset: Dataset, count: int) -> None:
    with pytest.raises(DataError, match=f"own has 400 train images; a subset of {count} cannot"):
        dataset.subset(train=count)


@pytest.mark.parametrize(("amount", "count"), [(0.1, 100), (50, 50), (0, 0), (0.0, 0), (999, 999)])
def test_hold_out_is_stratified_disjoint_and_complete(amount: float, count: int) -> None:
    held, rest = hold_out(LABELS, amount, np.random.RandomState(0))
    assert len(held) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([held, rest])), np.arange(len(LABELS)))
    expected = count * np.bincount(LABELS) / len(LABELS)
    assert (np.abs(np.bincount(LABELS[held], minlength=5) - expected) < 1).all()


@pytest.mark.parametrize("amount", [1.0, 1.5, -0.1, -1, 1000])
def test_holding_out_too_much_is_refused(amount: float) -> None:
    with pytest.raises(DataError, match="cannot hold out"):
        hold_out(LABELS, amount, np.random.RandomState(0))


def test_client_tests_with_the_global_mix_are_equal_stratified_parts() -> None:
    counts = np.array([[90, 0, 0, 0, 10], [0, 50, 50, 0, 0], [10, 10, 10, 10, 0], [1, 2, 3, 4, 5]])
    parts = client_test_split(LABELS, counts, "global", np.random.RandomState(0))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))
    for part in parts:
        np.testing.assert_array_equal(np.bincount(LABELS[part]), np.bincount(LABELS) // 4)


def test_client_tests_with_their_own_mix_follow_their_training_images() -> None:
    counts = np.array([[75, 0, 0, 0, 200], [25, 0, 300, 0, 0]])
    parts = client_test_split(LABELS, counts, "own", np.random.RandomState(0))
    assert np.bincount(LABELS[parts[0]], minlength=5).tolist() == [75, 0, 0, 0, 200]
    assert np.bincount(LABELS[parts[1]], minlength=5).tolist() == [25, 0, 300, 0, 0]
