"""From cells to tables: the one number of a cell, means, spread, marks, gaps and notes."""

from dataclasses import replace
from itertools import product
from statistics import stdev
from typing import Any

import pytest
from tables import LAST, TITLES, cell, grid, steps, table

from mosaic_bench.report.frame import headlines, make_frame
from mosaic_bench.report.latex import render_latex
from mosaic_bench.report.markdown import render_markdown
from mosaic_bench.report.notes import Note
from mosaic_bench.report.results import CellResult
from mosaic_bench.report.study import Study
from mosaic_bench.report.table import make_table
from mosaic_bench.store import State, Status
from mosaic_bench.suite import HeadlineSpec, ReportSpec, TableSpec


def headline(result: CellResult, spec: HeadlineSpec) -> float | None:
    """The one number of a cell."""
    [value] = headlines(make_frame([result]), spec)["value"]
    return None if value != value else value


# -- the one number of a cell -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, 0.3),
        ({"metric": "acc/server@val"}, 0.1),
        ({"metric": "acc/teacher@test"}, None),
        ({"rule": "mean_last_k", "k": 2}, (0.9 + 0.3) / 2),
        ({"rule": "mean_last_k", "k": 50}, (0.1 + 0.5 + 0.9 + 0.3) / 4),
        ({"rule": "best_on_validation"}, 0.5),  # not 0.9, the best on test images
    ],
)
def test_the_headline_follows_the_rule(spec: dict[str, Any], expected: float | None) -> None:
    result = CellResult("k", {}, Status(State.DONE), steps([0.1, 0.5, 0.9, 0.3], [0.2, 0.8, 0.7, 0.1]))
    assert headline(result, HeadlineSpec(**spec)) == (None if expected is None else pytest.approx(expected, abs=1e-15))


def test_the_first_of_equally_good_validation_steps_counts() -> None:
    result = CellResult("k", {}, Status(State.DONE), steps([0.1, 0.2, 0.3], [0.5, 0.7, 0.7]))
    assert headline(result, HeadlineSpec(rule="best_on_validation")) == 0.2


def test_there_is_no_number_without_validation_images_or_before_the_cell_is_done() -> None:
    done = CellResult("k", {}, Status(State.DONE), steps([0.1]))
    assert headline(done, HeadlineSpec(rule="best_on_validation")) is None
    for state in set(State) - {State.DONE}:
        assert headline(CellResult("k", {}, Status(state), steps([0.1])), LAST) is None


def test_a_table_may_show_another_number_than_the_rest_of_the_report() -> None:
    results = [CellResult("k", {"algorithm": "dense"}, Status(State.DONE), steps([0.1, 0.3], [0.2, 0.4]))]
    study = Study(results, ReportSpec(), "golden", "Test", TITLES)
    own = make_table(study, TableSpec())
    other = make_table(study, TableSpec(headline=HeadlineSpec(metric="acc/server@val")))
    assert own.entry(("dense",), ()).mean == pytest.approx(0.3)
    assert other.entry(("dense",), ()).mean == pytest.approx(0.4)
    assert "on validation images" in other.caption


# -- means, spread, marks, gaps ---------------------------------------------------------------------------------------


def test_entries_are_means_and_sample_standard_deviations_over_seeds() -> None:
    made = table(grid({("fedavg",): [0.5, 0.7, 0.9], ("dense",): [0.25]}, "algorithm"))
    fedavg, dense = made.entries[("fedavg",), ()], made.entries[("dense",), ()]
    assert (fedavg.mean, fedavg.std, fedavg.n) == (pytest.approx(0.7), pytest.approx(stdev([0.5, 0.7, 0.9])), 3)
    assert (dense.mean, dense.std, dense.n) == (0.25, None, 1)
    assert made.caption == (
        "Test. Accuracy of the server on test images in %, last step; mean ± sample standard deviation over seeds, "
        "n = 1 to 3."
    )
    assert table(grid({("fedavg",): [0.5, 0.7]}, "algorithm"), spread="none").entries[("fedavg",), ()].std is None


def test_ties_share_a_mark_and_are_judged_before_rounding() -> None:
    accuracies = {("a",): [0.8], ("b",): [0.8], ("c",): [0.79999], ("d",): [0.1]}
    made = table(grid(accuracies, "algorithm"))
    assert [made.entries[(name,), ()].mark for name in "abcd"] == ["best", "best", "second", ""]


def test_marks_that_are_not_asked_for_are_left_out() -> None:
    results = grid({("a",): [0.8], ("b",): [0.7]}, "algorithm")
    marks = {tuple(spec): [e.mark for e in table(results, mark=spec).entries.values()] for spec in ([], ["second"])}
    assert marks == {(): ["", ""], ("second",): ["", "second"]}


@pytest.mark.parametrize(
    ("state", "gap"),
    [
        (State.PLANNED, "--"),
        (State.RUNNING, "--"),
        (State.INTERRUPTED, "--"),
        (State.UNSUPPORTED, "n/a"),
        (State.FAILED, "fail"),
        (State.DIVERGED, "div"),
        (State.TIMEOUT, "time"),
        (State.OOM, "oom"),
    ],
)
def test_a_gap_says_why(state: State, gap: str) -> None:
    results = [cell(None, state, algorithm="dense", seed="0"), cell(0.5, algorithm="fedavg", seed="0")]
    entry = table(results).entries[("dense",), ()]
    assert (entry.mean, entry.n, entry.gap, entry.mark) == (None, 0, gap, "")


def test_seeds_that_failed_are_left_out_of_the_mean_and_counted_in_the_caption() -> None:
    results = grid({("fedavg",): [0.4, 0.6], ("dense",): [0.5]}, "algorithm")
    results.append(cell(None, State.FAILED, "ValueError: no", algorithm="dense", seed="1"))
    made = table(results)
    assert made.entries[("dense",), ()].mean == 0.5
    assert made.caption.endswith("n = 1 to 2.")
    assert made.notes[:2] == [Note("a", "failed: ValueError: no"), Note("b", "n = 1")]
    assert made.entries[("dense",), ()].notes == ("a", "b")
    assert made.entries[("fedavg",), ()].notes == ()


def test_a_reason_that_all_seeds_share_is_one_note_of_one_line() -> None:
    results = [
        cell(None, State.UNSUPPORTED, "needs one\narchitecture", algorithm="dense", dataset="fmnist", seed=str(seed))
        for seed in range(3)
    ]
    made = table(results)
    assert made.notes == [Note("a", "unsupported: needs one architecture")]
    assert made.caption.endswith("no numbers.")


def test_a_done_cell_without_the_metric_is_not_one_that_waits() -> None:
    results = [
        cell(0.5, algorithm="fedavg", seed="0"),
        CellResult("k", {"algorithm": "dense", "seed": "0"}, Status(State.DONE), [{"step": 1, "metrics": {}}]),
    ]
    made = table(results)
    entry = made.entries[("dense",), ()]
    assert (entry.mean, entry.gap, entry.notes) == (None, "n/a", ("a",))
    assert made.notes[0] == Note("a", "has no acc/server@test")
    assert not any("No cell" in note.text for note in made.notes)
    assert r"DENSE & n/a\textsuperscript{a} \\" in render_latex(made, "s")


def test_a_metric_that_no_cell_has_is_told_beside_those_that_they_have() -> None:
    results = grid({("fedavg",): [0.4], ("dense",): [0.5]}, "algorithm")
    made = table(results, HeadlineSpec(metric="acc/teacher@test"))
    assert [entry.gap for entry in made.entries.values()] == ["n/a", "n/a"]
    assert made.notes == [
        Note("a", "has no acc/teacher@test"),
        Note("", "No cell has acc/teacher@test; measured are acc/server@test."),
    ]
    waiting = table([cell(None, State.PLANNED, algorithm="dense")], HeadlineSpec(metric="acc/teacher@test"))
    assert waiting.notes == []


def test_a_mean_over_fewer_seeds_than_the_others_says_so() -> None:
    made = table(grid({("a",): [0.5] * 3, ("b",): [0.6] * 2, ("c",): [0.7] * 3, ("d",): [0.8] * 2}, "algorithm"))
    assert [made.entries[(name,), ()].notes for name in "abcd"] == [(), ("a",), (), ("a",)]
    assert made.notes[0] == Note("a", "n = 2")
    assert r"b & 60.0 $\pm$ 0.0\textsuperscript{a} \\" in render_latex(made, "s")


def test_equal_means_tie_whatever_they_are_means_of() -> None:
    made = table(grid({("a",): [0.1, 0.2], ("b",): [0.15, 0.15], ("c",): [0.14, 0.15]}, "algorithm"))
    assert [made.entries[(name,), ()].mark for name in "abc"] == ["best", "best", "second"]
    assert made.entries[("a",), ()].mean != made.entries[("b",), ()].mean  # in the last bit


def test_a_grid_of_seeds_only_is_one_mean() -> None:
    results = [cell(0.5 + 0.1 * seed, seed=str(seed)) for seed in range(3)]
    made = table(results)
    assert (made.rows, made.row_axes, made.columns) == ([("all seeds",)], ("seed",), [()])
    entry = made.entry(("all seeds",), ())
    assert (entry.mean, entry.n) == (pytest.approx(0.6), 3)
    assert table(results, preset="cost").rows == [("all seeds",)]
    assert table(results, rows=["seed"]).rows == [("seed=0",), ("seed=1",), ("seed=2",)]


def test_the_lines_of_a_caption_are_joined() -> None:
    made = table(grid({("fedavg",): [0.5]}, "algorithm"), caption="First line\nsecond line\n")
    assert made.caption.startswith("First line second line. Accuracy")
    assert r"\caption{First line second line. Accuracy" in render_latex(made, "s")


def test_a_stale_number_stays_and_carries_a_note() -> None:
    fresh, old = grid({("fedavg",): [0.4], ("dense",): [0.5]}, "algorithm")
    made = table([fresh, replace(old, stale="the harness has changed since")])
    entry = made.entries[("dense",), ()]
    assert (entry.mean, entry.mark, entry.notes) == (0.5, "best", ("a",))
    assert made.notes[0] == Note("a", "stale: the harness has changed since")
    assert "DENSE & \\textbf{50.0}\\textsuperscript{a}" in render_latex(made, "s")


def test_extensions_are_explained() -> None:
    study = Study(grid({("mosaic",): [0.4]}, "algorithm"), titles={"mosaic": "Mosaic†"})
    assert Note("", "† departs from the paper it is named after.") in make_table(study, TableSpec()).notes


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (["dataset", "algorithm"], []),
        (["algorithm", "dataset"], []),
        (["dataset"], ["algorithm"]),
        (["algorithm"], ["dataset"]),
    ],
)
def test_methods_compete_within_a_setting_wherever_they_stand(rows: list[str], columns: list[str]) -> None:
    accuracies = {("a", "mnist"): [0.9], ("b", "mnist"): [0.8], ("a", "svhn"): [0.3], ("b", "svhn"): [0.4]}
    made = table(grid(accuracies, "algorithm", "dataset"), rows=rows, columns=columns)
    marks = {frozenset(row + column): entry.mark for (row, column), entry in made.entries.items()}
    assert marks == {
        frozenset(("a", "mnist")): "best",
        frozenset(("b", "mnist")): "second",
        frozenset(("a", "svhn")): "second",
        frozenset(("b", "svhn")): "best",
    }


def test_without_methods_the_rows_compete() -> None:
    accuracies = {("0.1", "mnist"): [0.9], ("0.2", "mnist"): [0.8], ("0.1", "svhn"): [0.3], ("0.2", "svhn"): [0.4]}
    made = table(grid(accuracies, "local.lr", "dataset"), rows=["local.lr"])
    assert [made.entries[("lr=0.1",), (dataset,)].mark for dataset in ("mnist", "svhn")] == ["best", "second"]


def test_data_sets_never_compete_and_one_mean_is_not_the_best() -> None:
    accuracies = {("mnist", "0.1"): [0.9], ("mnist", "0.2"): [0.8], ("svhn", "0.1"): [0.3], ("svhn", "0.2"): [0.4]}
    made = table(grid(accuracies, "dataset", "algorithm.params.mu"), rows=["dataset"], columns=["algorithm.params.mu"])
    assert [[made.entry(row, column).mark for column in made.columns] for row in made.rows] == [
        ["best", "second"],
        ["second", "best"],
    ]
    alone = table(grid({("fedavg", "0.1"): [0.5], ("fedavg", "0.2"): [0.6]}, "algorithm", "local.lr"))
    assert [entry.mark for entry in alone.entries.values()] == ["", ""]


def test_an_interval_stays_where_accuracies_can_be() -> None:
    [entry] = table(grid({("fedavg",): [0.97, 1.0, 1.0]}, "algorithm"), spread="interval").entries.values()
    assert entry.interval == (pytest.approx(0.947, abs=1e-3), 1.0)


def test_rows_of_several_levels_are_marked_group_by_group() -> None:
    accuracies = {
        ("fedavg", "mnist"): [0.9],
        ("dense", "mnist"): [0.8],
        ("fedavg", "svhn"): [0.3],
        ("dense", "svhn"): [0.4],
    }
    made = table(grid(accuracies, "algorithm", "dataset"), rows=["dataset", "algorithm"], columns=[])
    assert made.rows == [("mnist", "fedavg"), ("mnist", "dense"), ("svhn", "fedavg"), ("svhn", "dense")]
    assert [made.entries[row, ()].mark for row in made.rows] == ["best", "second", "second", "best"]
    assert [made.row_labels(number)[0] for number in range(4)] == ["MNIST", "", "SVHN", ""]
    lines = render_latex(made, "s").splitlines()
    assert lines.count(r"\midrule") == 2
    assert r" & DENSE & \textbf{40.0} \\" in lines


def test_columns_stand_in_the_order_of_their_levels_and_single_valued_axes_move_to_the_caption() -> None:
    places = product(["fedavg"], ["mnist", "svhn"], ["iid", "dirichlet(alpha=0.1)"], ["mlp"])
    results = grid({place: [0.5] for place in places}, "algorithm", "dataset", "partition", "models")
    made = table(results, columns=["partition", "dataset", "models"])
    assert made.column_axes == ("partition", "dataset")
    dirichlet = "dirichlet(alpha=0.1)"
    assert made.columns == [("iid", "mnist"), ("iid", "svhn"), (dirichlet, "mnist"), (dirichlet, "svhn")]
    assert made.caption.startswith("Test (mlp). ")
    assert table(results).columns[0] == ("mnist", "iid")


def test_columns_and_captions_name_what_a_bare_number_is() -> None:
    axes = ("algorithm", "federation.clients", "local.lr")
    made = table(grid({("fedavg", "5", "0.1"): [0.5], ("fedavg", "10", "0.1"): [0.5]}, *axes))
    assert made.columns == [("clients=5",), ("clients=10",)]
    assert made.caption.startswith("Test (lr=0.1). ")
    assert " & clients=5 & clients=10 " + r"\\" in render_latex(made, "s").splitlines()
    one = table(grid({("fedavg", "5", "0.1"): [0.5]}, *axes), rows=["local.lr", "algorithm"])
    assert one.caption.startswith("Test (clients=5, lr=0.1). ")


def test_rows_name_what_a_bare_number_is_where_no_heading_does() -> None:
    results = grid({("fedavg", "5"): [0.5], ("dense", "5"): [0.5], ("dense", "10"): [0.5]}, "algorithm", "clients")
    assert table(results, rows=["clients"]).rows == [("clients=5",), ("clients=10",)]
    two = table(results, rows=["clients", "algorithm"])
    assert (two.rows[0], two.row_headings()) == (("5", "fedavg"), ("clients", "algorithm"))


def test_a_label_stays_on_its_line_in_markdown() -> None:
    made = table(grid({("two\nlines|a_b",): [0.5]}, "algorithm"), caption="First\n\nthird")
    assert r"| two lines\|a\_b | 50.0 |" in render_markdown(made).splitlines()


def test_a_named_variant_keeps_its_title_and_dagger_in_a_table() -> None:
    made = table(grid({("mosaic/statistics",): [0.5]}, "algorithm"))
    assert Note("", "† departs from the paper it is named after.") in made.notes
    assert r"Mosaic (statistics)$\dagger$ & 50.0 \\" in render_latex(made, "s").splitlines()


def test_dotted_axes_of_the_rows_are_no_columns_too() -> None:
    places = {(name, rounds): [0.5] for name in ("fedavg", "dense") for rounds in ("10", "20")}
    made = table(grid(places, "algorithm", "federation.rounds"), rows=["algorithm", "federation.rounds"])
    assert made.columns == [()]
    assert len(made.rows) == len(made.entries) == 4


@pytest.mark.parametrize(("rows", "columns"), [("algorithm", "partition"), ("partition", "algorithm")])
def test_the_dagger_is_explained_wherever_it_stands(rows: str, columns: str) -> None:
    places = {(name, partition): [0.5] for name in ("fedavg", "x") for partition in ("iid", "shards")}
    titles = {"x": "X†", "fedavg": "FedAvg"}
    study = Study(grid(places, "algorithm", "partition"), ReportSpec(), "s", "S", titles)
    made = make_table(study, TableSpec(rows=[rows], columns=[columns]))
    assert [note.text for note in made.notes if note.text.startswith("†")] == [
        "† departs from the paper it is named after."
    ]
