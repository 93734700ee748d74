"""Partitions: the published histograms, the guarantees of every scheme, and what each scheme promises."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mosaic_bench.data import PARTITIONS, DataError, Partition, parse_partition, register_partition
from mosaic_bench.data.audit import class_counts
from mosaic_bench.data.partition.shares import dirichlet_shares

LABELS = np.repeat(np.arange(10), 5000)

# The table in Mosaic's README: clients × (class: images).
MOSAIC = [
    {7: 72},
    {2: 689},
    {6: 90, 7: 1, 9: 974},
    {0: 4999, 3: 5000},
    {8: 782},
    {1: 37, 7: 4927, 9: 478},
    {4: 4999, 5: 49},
    {5: 4950, 6: 4910},
    {1: 4963, 2: 4310},
    {0: 1, 2: 1, 4: 1, 5: 1, 8: 4218, 9: 3548},
]

# The table in DENSE's README.
DENSE = [
    [156, 709, 301, 2629, 20, 651, 915, 113, 180, 2133],
    [1771, 2695, 1251, 1407, 665, 314, 1419, 3469, 0, 0],
    [236, 15, 1715, 76, 1304, 34, 1773, 75, 3289, 2360],
    [2809, 575, 157, 853, 2555, 2557, 203, 1213, 0, 0],
    [28, 1006, 1576, 35, 456, 1444, 690, 130, 1531, 507],
]


def table(spec: str | dict[str, Any], labels: np.ndarray, clients: int, classes: int, seed: int) -> np.ndarray:
    parts = parse_partition(spec).split(labels, clients, classes, np.random.RandomState(seed))
    return class_counts(labels, parts, classes)


def test_the_published_histogram_of_mosaic_comes_out_exactly() -> None:
    found = table({"dirichlet": {"alpha": 0.01}}, LABELS, 10, 10, seed=5363)
    assert [{c: n for c, n in enumerate(row) if n} for row in found.tolist()] == MOSAIC


def test_the_published_histogram_of_dense_comes_out_exactly() -> None:
    assert table({"dirichlet": {"alpha": 0.5}}, LABELS, 5, 10, seed=1).tolist() == DENSE


ALPHAS = st.floats(-3, 3).map(lambda exponent: 10**exponent)
SCHEMES = st.one_of(
    st.just({"iid": {}}),
    st.fixed_dictionaries({"alpha": ALPHAS, "scheme": st.sampled_from(["capped", "plain"])}).map(
        lambda params: {"dirichlet": params}
    ),
    st.integers(1, 12).map(lambda n: {"classes_per_client": {"classes": n}}),
    st.integers(1, 5).map(lambda n: {"shards": {"per_client": n}}),
    ALPHAS.map(lambda alpha: {"quantity": {"alpha": alpha}}),
)


@pytest.mark.filterwarnings("error")
@settings(deadline=None, max_examples=300)
@given(
    spec=SCHEMES,
    min_size=st.integers(2, 30),
    clients=st.integers(1, 120),
    classes=st.integers(1, 60),
    size=st.integers(0, 5000),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_image_goes_to_one_client_and_no_client_is_short_or_the_error_is_clear(
    spec: dict[str, dict[str, Any]], min_size: int, clients: int, classes: int, size: int, seed: int
) -> None:
    [(name, params)] = spec.items()
    partition = parse_partition({name: {**params, "min_size": min_size}})
    rng = np.random.RandomState(seed)
    labels = rng.randint(0, classes, size)
    started = time.process_time()
    try:
        parts = partition.split(labels, clients, classes, rng)
    except DataError:
        assert clients * min_size > size or name in ("classes_per_client", "shards")
        return
    finally:
        assert time.process_time() - started < 2
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(size))
    assert len(parts) == clients
    assert min(map(len, parts)) >= min_size
    assert all(part.dtype == np.int64 for part in parts)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("open_clients", [1, 2, 5])
def test_shares_that_underflow_go_to_one_open_client(open_clients: int) -> None:
    open_to = np.arange(6) < open_clients
    for seed in range(2000):
        shares = dirichlet_shares(1e-3, open_to, np.random.RandomState(seed))
        assert shares.sum() == pytest.approx(1)
        assert not shares[~open_to].any()


@pytest.mark.parametrize("alpha", [1e-3, 0.01, 1.0, 1e3])
@pytest.mark.parametrize("scheme", ["capped", "plain"])
def test_a_thousand_clients_on_a_full_data_set_are_served_within_two_seconds(alpha: float, scheme: str) -> None:
    started = time.process_time()
    found = table({"dirichlet": {"alpha": alpha, "scheme": scheme}}, LABELS, 1000, 10, seed=0)
    assert found.sum(axis=1).min() >= 10
    assert time.process_time() - started < 2


@pytest.mark.parametrize("spec", ["iid", {"dirichlet": {"alpha": 0.1}}, {"quantity": {"alpha": 0.5}}, "shards"])
def test_the_same_seed_gives_the_same_parts(spec: str | dict[str, Any]) -> None:
    first, again = (parse_partition(spec).split(LABELS, 7, 10, np.random.RandomState(3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_iid_sizes_differ_by_one_at_most() -> None:
    sizes = table("iid", LABELS, 7, 10, seed=0).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def test_large_alpha_is_close_to_iid_and_small_alpha_is_not() -> None:
    even = table({"dirichlet": {"alpha": 1000.0}}, LABELS, 10, 10, seed=0)
    skewed = table({"dirichlet": {"alpha": 0.01}}, LABELS, 10, 10, seed=0)
    assert (np.abs(even - 500) < 100).all()
    assert (skewed == 0).mean() > 0.5


def test_the_cap_keeps_clients_below_about_twice_their_share() -> None:
    for seed in range(10):
        capped = table({"dirichlet": {"alpha": 0.05}}, LABELS, 10, 10, seed)
        assert capped.sum(axis=1).max() <= 2 * len(LABELS) / 10 + 10


def test_every_client_holds_exactly_the_classes_asked_for() -> None:
    found = table({"classes_per_client": {"classes": 3}}, LABELS, 7, 10, seed=0)
    assert (np.count_nonzero(found, axis=1) == 3).all()
    holders = np.count_nonzero(found, axis=0)
    assert holders.max() - holders.min() <= 1


def test_two_shards_mean_two_classes_at_most_three() -> None:
    found = table({"shards": {"per_client": 2}}, LABELS, 10, 10, seed=0)
    assert np.count_nonzero(found, axis=1).max() <= 3
    assert (found.sum(axis=1) == 5000).all()


def test_quantity_skew_changes_sizes_and_keeps_the_label_mix() -> None:
    found = table({"quantity": {"alpha": 0.3}}, LABELS, 5, 10, seed=0)
    sizes = found.sum(axis=1)
    large = found[sizes.argmax()] / sizes.max()
    assert sizes.max() > 3 * sizes.min()
    np.testing.assert_allclose(large, 0.1, atol=0.01)


def test_repair_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    table({"dirichlet": {"alpha": 0.001, "min_size": 400}}, LABELS, 100, 10, seed=0)
    assert "moving images from the largest clients" in caplog.text


@pytest.mark.parametrize(
    ("spec", "clients", "message"),
    [
        ("iid", 30_000, r"50000 images cannot give 30000 clients at least 2 each"),
        ({"classes_per_client": {"classes": 11}}, 5, r"a client cannot hold 11 classes: the images show only 10"),
        ({"classes_per_client": {"classes": 1}}, 5, r"5 clients with 1 classes each cannot hold all 10 classes"),
        ({"shards": {"per_client": 20_000}}, 5, r"cannot be cut into 5 × 20000 shards"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(spec: str | dict[str, Any], clients: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_partition(spec).split(LABELS, clients, 10, np.random.RandomState(0))


def test_a_misspelt_partition_is_corrected() -> None:
    with pytest.raises(DataError, match="unknown partition 'dirchlet'; did you mean 'dirichlet'"):
        parse_partition({"dirchlet": {"alpha": 1}})


@pytest.mark.parametrize("spec", [None, [], {"iid": {}, "shards": {}}, 3])
def test_a_partition_of_another_form_is_refused(spec: Any) -> None:
    with pytest.raises(DataError, match="a partition is a name"):
        parse_partition(spec)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"alpha": 0},
        {"alpha": -1},
        {"alpha": float("inf")},
        {"alpha": "1"},
        {"alpha": 1, "beta": 2},
        {"alpha": 1, "min_size": 1},
        {"alpha": 1, "min_size": 20.0},
    ],
)
def test_parameters_are_validated(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_partition({"dirichlet": params})


def test_a_scheme_registered_elsewhere_is_found_and_guarded() -> None:
    @register_partition("all_to_the_first")
    class AllToTheFirst(Partition):
        def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
            return np.zeros(len(labels), dtype=np.int64)

    try:
        assert table("all_to_the_first", LABELS, 4, 10, seed=0).sum(axis=1).tolist() == [49_994, 2, 2, 2]
        with pytest.raises(ValueError, match="already registered"):
            register_partition("all_to_the_first")(AllToTheFirst)
    finally:
        del PARTITIONS["all_to_the_first"]


@pytest.mark.parametrize("owner", [np.arange(12) % 5, np.arange(12) % 4 - 1, np.arange(11) % 4, np.zeros(12)])
def test_owners_that_are_no_clients_are_refused(owner: np.ndarray) -> None:
    class Wrong(Partition):
        def owners(self, labels: np.ndarray, clients: int, classes: int, rng: np.random.RandomState) -> np.ndarray:
            return owner

    with pytest.raises(DataError, match="return one client number from 0 to 3 for each of the 12 images"):
        Wrong().split(np.zeros(12, dtype=np.int64), 4, 1, np.random.RandomState(0))
