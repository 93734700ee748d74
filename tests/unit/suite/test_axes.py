"""Axes that tables may name: those of the grid, and parameters inside their labels."""

import pytest

from mosaic_bench.suite.axes import indistinguishable, label_on, owner

CELL = {
    "models": "cnn(widths=(rho=5, sigma=4), extract=rolling)",
    "partition": "dirichlet(alpha=0.1)",
    "local.lr": "0.1",
}


@pytest.mark.parametrize(
    ("axis", "label"),
    [
        ("partition", "dirichlet(alpha=0.1)"),
        ("partition.alpha", "alpha=0.1"),
        ("models.widths", "rho=5, sigma=4"),
        ("models.extract", "rolling"),
        ("models.norm", "batch"),  # a default that the label leaves out
        ("local.lr", "0.1"),
    ],
)
def test_a_parameter_of_an_axis_has_a_label_of_its_own(axis: str, label: str) -> None:
    assert label_on(axis, CELL) == label


def test_a_label_without_the_parameter_stands_for_itself() -> None:
    assert label_on("partition.alpha", {"partition": "iid"}) == "iid"
    assert label_on("partition.alpha", {"partition": "shards(per_client=2)"}) == "shards(per_client=2)"
    assert label_on("models.widths", {"models": "cnn"}) == "no widths"


def test_an_axis_with_a_dot_is_not_a_parameter() -> None:
    assert owner("local.lr", CELL) == "local.lr"
    assert owner("models.extract", CELL) == "models"
    assert owner("model.extract", CELL) is None


def test_labels_that_a_table_would_put_in_one_place_are_found() -> None:
    labels = ["cnn(extract=rolling)", "cnn(extract=rolling, norm=group)", "cnn"]
    assert indistinguishable("models", labels, ["models.extract"]) == (labels[0], labels[1])
    assert indistinguishable("models", labels, ["models.extract", "models.norm"]) is None
    assert indistinguishable("models", labels, ["partition"]) == (labels[0], labels[1])
