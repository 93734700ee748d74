"""The numbers and pictures that describe a partition."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mosaic_bench.data import audit
from mosaic_bench.partition_figure import plot_partition


def test_the_audit_of_a_small_partition_is_what_one_computes_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    found = audit(labels, [np.array([0, 1, 2, 3]), np.array([4, 5]), np.array([6, 7])], classes=2)
    assert found["table"] == [[4, 0], [0, 2], [0, 2]]
    assert found["sizes"] == [4, 2, 2]
    assert found["entropy"] == [0, 0, 0]
    assert found["total_variation"] == [0.5, 0.5, 0.5]

    even = audit(labels, [np.array([0, 4]), np.array([1, 2, 3, 5, 6, 7])], classes=2)
    assert even["mean_entropy"] == pytest.approx(math.log(2))
    assert even["mean_total_variation"] == 0


def test_the_audit_holds_plain_values_only() -> None:
    found = audit(np.arange(6) % 3, [np.arange(6)], classes=3)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("classes", [3, 120])
def test_both_pictures_are_written_as_pdf_and_png_and_are_reproducible(tmp_path: Path, classes: int) -> None:
    table = np.random.RandomState(0).randint(0, 50, (4, classes)).tolist()
    names = [f"class {i}" for i in range(classes)]
    first = plot_partition(table, names, tmp_path / "first/fmnist.v1")
    again = plot_partition(table, names, tmp_path / "again/fmnist.v1")
    assert [path.name for path in first] == [
        "fmnist.v1-bubbles.pdf",
        "fmnist.v1-bubbles.png",
        "fmnist.v1-heatmap.pdf",
        "fmnist.v1-heatmap.png",
    ]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, again, strict=True))
