"""Tables of other quantities than the headline: variance over seeds, privacy, stages of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studies import write_study

from mosaic_bench.report.latex import render_latex
from mosaic_bench.report.study import Study, read_study
from mosaic_bench.report.table import Table, make_table
from mosaic_bench.report.variance import prediction_variance
from mosaic_bench.store import Store
from mosaic_bench.suite import TableSpec

AXES = {"algorithm": ["fedavg", "mosaic"], "partition": ["dirichlet(alpha=0.1)", "iid"], "seed": ["0", "1", "2"]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_study(tmp_path / "study", AXES, lambda cell: 0.5)


def table(store: Store, preset: str, **spec: Any) -> Table:
    return make_table(read_study(store), TableSpec.model_validate({"preset": preset, **spec}))


def number(made: Table, algorithm: str, partition: str, column: str) -> tuple[float | None, int, str]:
    """Mean, n and gap at a place."""
    [row] = [row for row in made.rows if row[-1] == algorithm and partition in row[0]]
    entry = made.entry(row, (column,))
    return entry.mean, entry.n, entry.gap


def keep_predictions(study: Study, number: int, **models: list[list[float]]) -> None:
    folder = study.results[number].folder
    assert folder is not None
    (folder.path / "figures").mkdir()
    probabilities = {f"probability/{name}": np.array(rows, dtype=np.float16) for name, rows in models.items()}
    np.savez(folder.path / "figures/predictions.npz", kind="predictions", **probabilities)


def add_to_last_step(study: Study, number: int, part: str, values: Mapping[str, float]) -> None:
    folder = study.results[number].folder
    assert folder is not None
    records = folder.steps()
    records[-1][part] |= values
    (folder.path / "steps.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


# -- variance ---------------------------------------------------------------------------------------------------------


def test_the_variance_is_that_of_the_definition() -> None:
    """Two seeds, two images: the first swings between two classes (variance ½ each), the second is settled."""
    first, second = [[1.0, 0.0], [0.25, 0.75]], [[0.0, 1.0], [0.25, 0.75]]
    assert prediction_variance(np.array([first, second])) == pytest.approx((2 * 0.5 + 0) / 2)
    draw = np.random.default_rng(0).dirichlet(np.ones(4), (5, 7))
    assert prediction_variance(draw) == pytest.approx(
        np.mean([sum(np.var(draw[:, image, label], ddof=1) for label in range(4)) for image in range(7)])
    )


def test_a_mean_of_independent_members_varies_as_theorem_i1_says() -> None:
    """Members of variances σ²: the plain mean has Σσ²/K², weights in proportion to 1/σ² have 1/Σ(1/σ²), never more."""
    draw, sigma = np.random.default_rng(0), np.array([0.01, 0.02, 0.04])
    noise = draw.normal(size=(20_000, 3, 1)) * sigma[:, None]
    members = 0.5 + noise * [1, -1]  # seeds, members, two classes
    weights = sigma**-2 / (sigma**-2).sum()
    plain, fused = (prediction_variance((members * w[:, None]).sum(1)[:, None]) for w in (np.full(3, 1 / 3), weights))
    assert plain == pytest.approx(2 * (sigma**2).sum() / 9, rel=0.03)
    assert fused == pytest.approx(2 / (sigma**-2).sum(), rel=0.03)
    assert fused < plain


def test_each_setting_has_the_variance_of_its_seeds(store: Store) -> None:
    study = read_study(store)
    settled, swung = [[0.5, 0.5]], [[0.0, 1.0]]
    for cell, rows in {6: settled, 7: settled, 8: swung}.items():  # mosaic at α = 0.1
        keep_predictions(study, cell, teacher=settled, ensemble=rows)
    keep_predictions(study, 9, teacher=settled)  # one seed of mosaic at IID
    made = table(store, "variance")
    assert [column[-1] for column in made.columns] == ["teacher", "ensemble"]
    assert number(made, "mosaic", "alpha", "teacher") == (0.0, 3, "")
    assert number(made, "mosaic", "alpha", "ensemble") == (pytest.approx(2 * 0.25 / 3), 3, "")
    assert number(made, "mosaic", "iid", "teacher") == (None, 0, "--")
    assert number(made, "fedavg", "iid", "teacher") == (None, 0, "--")
    assert "one fixed answer has none" in made.notes[-1].text
    assert "0.167" in render_latex(made, "s")


def test_a_torn_file_counts_as_missing(store: Store) -> None:
    study = read_study(store)
    for cell in (6, 7):
        keep_predictions(study, cell, teacher=[[0.5, 0.5]])
    folder = study.results[7].folder
    assert folder is not None
    file = folder.path / "figures/predictions.npz"
    file.write_bytes(file.read_bytes()[:100])
    assert number(table(store, "variance"), "mosaic", "alpha", "teacher") == (None, 0, "--")


# -- privacy ----------------------------------------------------------------------------------------------------------


def test_privacy_stands_as_two_means_over_seeds(store: Store) -> None:
    assert number(table(store, "privacy"), "mosaic", "iid", "nearest distance") == (None, 0, "--")
    study = read_study(store)
    for cell, nearest in {6: 0.9, 7: 1.0, 8: 1.1}.items():
        add_to_last_step(study, cell, "metrics", {"privacy/nearest": nearest, "privacy/membership": 0.55})
    made = table(store, "privacy")
    assert number(made, "mosaic", "alpha", "nearest distance") == (pytest.approx(1.0), 3, "")
    assert number(made, "mosaic", "alpha", "membership AUC") == (pytest.approx(0.55), 3, "")
    assert number(made, "fedavg", "alpha", "membership AUC") == (None, 0, "--")
    assert made.notes[-1].text == "A measurement of one attack, no guarantee."
    assert not any(entry.mark for entry in made.entries.values())


# -- stages -----------------------------------------------------------------------------------------------------------


def test_the_cost_table_names_the_longest_stages_of_methods_that_have_some(store: Store) -> None:
    """Clients and server take 4.5 + .75·(1 + number mod 3) s in the last of three steps."""
    study = read_study(store)
    for cell in (6, 7, 8):
        whole = 4.5 + 0.75 * (1 + cell % 3)
        seconds = {"seconds/warm_up": 0.2 * whole, "seconds/generator": 0.6 * whole, "seconds/fuse": 0.05 * whole}
        add_to_last_step(study, cell, "time", seconds)
    made = table(store, "cost")
    assert number(made, "mosaic", "alpha", "longest stages") == (None, 0, "generator 60 %, warm up 20 %")
    assert number(made, "fedavg", "alpha", "longest stages") == (None, 0, "--")
    assert r"generator 60 \%, warm up 20 \%" in render_latex(made, "s")
