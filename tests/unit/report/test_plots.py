"""Figures: the numbers they show, looks that never change, and nothing clipped or covered."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from studies import Coordinates, write_study

from mosaic_bench.report.plots import NotDrawn, Plot, draw_plots
from mosaic_bench.report.plots.style import KNOWN, looks
from mosaic_bench.report.study import Study, read_study
from mosaic_bench.store import State, Store
from mosaic_bench.suite import PlotSpec

METHODS = ["local", "fedavg", "feddf", "mosaic(fusion=uniform)", "mosaic", "a_method_with_a_very_long_name"]
AXES = {
    "algorithm": METHODS,
    "dataset": ["fmnist", "cifar10"],
    "partition": ["dirichlet(alpha=1.0)", "dirichlet(alpha=0.01)", "iid"],
    "seed": ["0", "1", "2"],
}


def accuracy(cell: Coordinates) -> float | tuple[State, str]:
    """Ranks are the order of METHODS in every setting; one method is unsupported on one data set."""
    if (cell["algorithm"], cell["dataset"]) == ("local", "cifar10"):
        return State.UNSUPPORTED, "no"
    spread = 0.02 * (int(cell["seed"]) - 1)
    return 0.9 - 0.1 * METHODS.index(cell["algorithm"]) - 0.1 * AXES["partition"].index(cell["partition"]) + spread


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = write_study(tmp_path_factory.mktemp("plots") / "plots", AXES, accuracy, evaluated=4)
    folder = made.cell(f"{0:012x}").path / "figures"
    folder.mkdir()
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (3, 5, 8, 8, 1), dtype=np.uint8)
    np.savez(folder / "samples.npz", kind="samples", images=images, clients=[0, 4, 7], sizes=[10, 200, 3])
    step = np.arange(0, 100, 10)
    curves = {f"curve/{name}": np.exp(-step / 50) + draw.random((3, 1)) for name in ("adversarial", "entropy")}
    np.savez(
        folder / "generators.npz", kind="generator_curves", step=step, clients=[0, 1, 2], sizes=[900, 20, 100], **curves
    )
    x, y = np.linspace(-3, 3, 40), np.linspace(-2, 2, 30)
    regions = {
        "region/teacher": (x > np.sin(y)[:, None]).astype(int),
        "region/student": np.tile(x > 0, (30, 1)).astype(int),
    }
    points = draw.normal(size=(50, 2))
    labels = (points[:, 0] > 0).astype(int)
    samples = {"samples/student": draw.normal(size=(20, 2))}
    np.savez(
        folder / "regions.npz", kind="decision_regions", x=x, y=y, points=points, labels=labels, **regions, **samples
    )
    return made


@pytest.fixture(scope="module")
def study(store: Store) -> Study:
    return read_study(store)


def one(study: Study, kind: str, x: Sequence[str] | None = None) -> Plot:
    """The first figure of a kind."""
    return next(draw_plots(study, PlotSpec.model_validate({"kind": kind, "x": x})))


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "expected"), [("step", 2), ("bytes", 2 * 1_900_080), ("seconds", 3 + 0.5 * (1 + 0 + 1))])
def test_a_curve_shows_means_over_seeds_at_every_evaluated_step(study: Study, x: str, expected: float) -> None:
    data = one(study, "curve", [x]).data
    line = data[(data["algorithm"] == "FedAvg") & (data["setting"] == "Fashion-MNIST, Dirichlet(α=1.0)")]
    assert list(line["step"]) == [1, 2, 3, 4]
    second = line.iloc[1]
    assert second["acc/server@test"] == pytest.approx(0.8 / 2)
    assert (second["std"], second["n"]) == (pytest.approx(0.01), 3)
    assert second[x] == pytest.approx(expected, rel=0.3 if x == "seconds" else 1e-9)


def test_a_curve_has_the_same_runs_at_all_its_points(tmp_path: Path) -> None:
    """Seed 1, twice as good, was cut after two of three steps: its line would fall where it ends."""
    made = write_study(
        tmp_path / "cut", {"algorithm": ["fedavg"], "seed": ["0", "1"]}, lambda c: 0.3 + 0.3 * int(c["seed"])
    )
    steps = made.cell(f"{1:012x}").path / "steps.jsonl"
    steps.write_text("".join(steps.read_text().splitlines(keepends=True)[:2]))
    data = one(read_study(made), "curve", ["step"]).data
    assert list(data["acc/server@test"]) == pytest.approx([0.1, 0.2, 0.3])
    assert list(data["n"]) == [1, 1, 1]
    assert "Runs left out because they ended earlier: FedAvg 1." in one(read_study(made), "curve", ["step"]).description


def test_a_mean_of_one_seed_has_no_bar(tmp_path: Path) -> None:
    for seeds in (["0"], ["0", "1"]):
        made = write_study(tmp_path / f"{len(seeds)}", {"algorithm": ["fedavg"], "seed": seeds}, lambda cell: 0.5)
        [bars] = one(read_study(made), "cost_accuracy", ["bytes"]).figure.axes[0].containers
        assert bars.has_yerr == (len(seeds) > 1)


def test_alpha_ascends_and_iid_comes_last(study: Study) -> None:
    plot = one(study, "alpha_sweep")
    line = plot.data[(plot.data["algorithm"] == "FedAvg") & (plot.data["setting"] == "CIFAR-10")]
    assert list(line["alpha"]) == [0.01, 1.0, math.inf]
    assert list(line["mean"]) == pytest.approx([0.7, 0.8, 0.6])
    assert [label.get_text() for label in plot.figure.axes[0].get_xticklabels()] == ["0.01", "1", "IID"]


def test_schemes_that_differ_in_more_than_alpha_are_different_sweeps(tmp_path: Path) -> None:
    last = {
        "dirichlet(alpha=0.1)": 0.5, "dirichlet(alpha=1)": 0.6, "quantity(alpha=0.1)": 0.7, "iid": 0.8,
        "dirichlet(alpha=1, min_images=9)": 0.9,
    }  # fmt: skip
    axes = {"algorithm": ["fedavg"], "partition": list(last), "seed": ["0"]}
    made = write_study(tmp_path / "sweep", axes, lambda cell: last[cell["partition"]])
    data = one(read_study(made), "alpha_sweep").data
    assert set(data["n"]) == {1}
    means = data.assign(mean=data["mean"].round(6)).groupby("setting")
    found = {setting: dict(zip(part["alpha"], part["mean"], strict=True)) for setting, part in means}
    assert found == {
        "Dirichlet": {0.1: 0.5, 1.0: 0.6, math.inf: 0.8},
        "quantity": {0.1: 0.7, math.inf: 0.8},
        "Dirichlet(min_images=9)": {1.0: 0.9, math.inf: 0.8},
    }


def test_a_hyper_parameter_of_that_name_is_not_swept(tmp_path: Path) -> None:
    axes = {"algorithm.params.alpha": ["7", "8"], "partition": ["dirichlet(alpha=0.1)", "dirichlet(alpha=1)"]}
    made = write_study(tmp_path / "sweep", axes, lambda cell: 0.5)
    assert list(one(read_study(made), "alpha_sweep").data["alpha"]) == [0.1, 1.0] * 2


def test_a_grid_without_an_algorithm_has_a_sweep_too(tmp_path: Path) -> None:
    axes = {"partition": ["dirichlet(alpha=0.1)", "dirichlet(alpha=1)", "iid"], "seed": ["0", "1"]}
    made = write_study(tmp_path / "sweep", axes, lambda cell: 0.5)
    data = one(read_study(made), "alpha_sweep").data
    assert [list(data[name]) for name in ("algorithm", "alpha", "n")] == [
        ["Dirichlet"] * 3,
        [0.1, 1.0, math.inf],
        [2, 2, 2],
    ]


def test_costs_stand_against_accuracy(study: Study) -> None:
    data = one(study, "cost_accuracy", ["bytes"]).data
    assert set(data["bytes"]) == {4 * 1_900_080}
    assert len(data) == 6 * 3 + 5 * 3


def test_ranks_leave_out_settings_with_a_gap(study: Study) -> None:
    plot = one(study, "critical_difference")
    assert plot.title == "Average ranks over 3 settings of 1 data set"
    assert list(plot.data["average rank"]) == pytest.approx([1, 2, 3, 4, 5, 6])
    assert (
        "1 is best, by accuracy of the server on test images on the seeds that all methods have (n = 3): Local 1.00, "
        "FedAvg 2.00" in plot.description
    )
    assert "No test of the ranks. 1 data set: Friedman's test needs two" in plot.description


def test_ranks_are_of_the_seeds_that_all_methods_have(tmp_path: Path) -> None:
    """Seed 1 is easy, and FedDF has no result there."""
    axes = {"algorithm": ["fedavg", "feddf"], "dataset": ["mnist(train=9)", "mnist", "svhn"], "seed": ["0", "1"]}

    def accuracy(cell: Coordinates) -> float | tuple[State, str]:
        if (cell["algorithm"], cell["seed"]) == ("feddf", "1"):
            return State.FAILED, "no"
        return (0.5 if cell["algorithm"] == "fedavg" else 0.6) + 0.3 * int(cell["seed"])

    plot = one(read_study(write_study(tmp_path / "ranks", axes, accuracy)), "critical_difference")
    assert plot.title == "Average ranks over 3 settings of 2 data sets"
    assert dict(zip(plot.data["algorithm"], plot.data["average rank"], strict=True)) == {"FedDF": 1.0, "FedAvg": 2.0}
    assert "(n = 1)" in plot.description


def test_data_sets_are_no_methods_to_rank_and_may_be_named_alone(tmp_path: Path) -> None:
    axes = {"dataset": ["mnist", "svhn"], "partition": ["iid", "dirichlet(alpha=1)"], "seed": ["0"]}
    with pytest.raises(NotDrawn, match="ranks need an axis of algorithms"):
        one(read_study(write_study(tmp_path / "one", axes, lambda cell: 0.5)), "critical_difference")
    axes = {"algorithm": ["fedavg", "feddf"], "dataset.name": ["mnist", "svhn"], "seed": ["0"]}
    plot = one(read_study(write_study(tmp_path / "named", axes, lambda cell: 0.5)), "critical_difference")
    assert plot.title == "Average ranks over 2 settings of 2 data sets"


def test_every_partition_is_shown_once(study: Study) -> None:
    plots = list(draw_plots(study, PlotSpec(kind="client_classes")))
    tables = [tuple(plot.data["images"]) for plot in plots]
    assert len(tables) == len(set(tables))
    assert plots[0].title == "Images per client and class: Fashion-MNIST, Dirichlet(α=1.0), seed 0"
    assert plots[0].data["images"].sum() == sum(sum(5 + (c + label) % 7 for label in range(4)) for c in range(3))


def test_arrays_of_a_cell_become_figures(study: Study) -> None:
    assert len(one(study, "samples").data) == 3 * 5
    curves = one(study, "generator_curves").data
    assert set(curves["quantity"]) == {"adversarial", "entropy"}
    assert list(curves["images"].unique()) == [900, 20, 100]
    regions = one(study, "decision_regions").data
    assert regions.groupby("model")["class"].sum()["student"] == 30 * 20
    assert one(study, "samples").name == "samples-000000000000"


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    made = write_study(tmp_path / "small", {"algorithm": ["fedavg"], "seed": ["0"]}, lambda cell: (State.FAILED, "no"))
    small = read_study(made)
    for kind, reason in {
        "curve": "no cell has measured acc/server@test",
        "alpha_sweep": "fewer than two values of α",
        "cost_accuracy": "no cell is done",
        "critical_difference": "no cell is done",
        "samples": "no cell has left arrays",
    }.items():
        with pytest.raises(NotDrawn, match=reason):
            one(small, kind)
    folder = made.cell(f"{0:012x}").path / "figures"
    folder.mkdir()
    np.savez(folder / "mine.npz", kind="samples", images=np.zeros((1, 1, 2, 2, 1), np.uint8))
    with pytest.raises(NotDrawn, match=r"mine.npz: has no array 'clients'"):
        one(small, "samples")
    (folder / "mine.npz").write_bytes(b"torn")
    with pytest.raises(NotDrawn, match=r"mine.npz: cannot be read"):
        one(small, "samples")


def test_figures_without_the_metric_say_which_is_missing(tmp_path: Path) -> None:
    axes = {"algorithm": ["fedavg"], "partition": ["iid", "dirichlet(alpha=0.1)"], "seed": ["0"]}
    made = write_study(tmp_path / "done", axes, lambda cell: 0.5, headline={"metric": "acc/teacher@test"})
    for kind in ("alpha_sweep", "cost_accuracy", "critical_difference"):
        with pytest.raises(
            NotDrawn, match=r"^no cell has acc/teacher@test; measured are acc/server@test, acc/server@val"
        ):
            one(read_study(made), kind)


def test_one_setting_has_no_ranks(tmp_path: Path) -> None:
    made = write_study(tmp_path / "small", {"algorithm": ["fedavg", "dense"], "seed": ["0"]}, lambda cell: 0.5)
    with pytest.raises(NotDrawn, match="two methods and two settings"):
        one(read_study(made), "critical_difference")


def test_memory_that_was_not_measured_is_not_none(tmp_path: Path) -> None:
    made = write_study(tmp_path / "small", {"algorithm": ["fedavg", "dense"], "seed": ["0"]}, lambda cell: 0.5)
    first, second = (made.cell(f"{number:012x}").path / "steps.jsonl" for number in range(2))
    without = [json.loads(line) for line in first.read_text().splitlines()]
    for step in without:
        del step["time"]["peak_bytes"]
    first.write_text("".join(json.dumps(step) + "\n" for step in without))
    assert list(one(read_study(made), "cost_accuracy", ["memory"]).data["algorithm"]) == ["DENSE"]
    second.write_bytes(first.read_bytes())
    with pytest.raises(NotDrawn, match="no cell has measured peak memory"):
        one(read_study(made), "cost_accuracy", ["memory"])


# -- looks ------------------------------------------------------------------------------------------------------------


def test_an_algorithm_looks_the_same_beside_any_others() -> None:
    alone = looks(["fedavg"])["fedavg"]
    assert alone == looks(METHODS)["fedavg"] == KNOWN["fedavg"]
    assert looks(["zebra"])["zebra"] == looks(["zebra", *KNOWN, "mosaic(x=1)"])["zebra"]


def test_variants_share_a_colour_and_differ_otherwise() -> None:
    found = looks(["mosaic", "mosaic(a=1)", "mosaic(a=2)"])
    assert {look.colour for look in found.values()} == {KNOWN["mosaic"].colour}
    assert len({look.marker for look in found.values()}) == 3


# Severe deuteranopia and protanopia (Machado, Oliveira and Fernandes, IEEE TVCG 2009), on linear RGB.
SEEN_BY = {
    "all": np.eye(3),
    "deuteranopes": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopes": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def as_lab(colour: str, matrix: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of a colour after simulating a deficiency."""
    rgb = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("reader", list(SEEN_BY))
def test_known_colours_are_told_apart_by(reader: str) -> None:
    """A difference of 2.3 is just noticeable; lines need several times that."""
    labs = {name: as_lab(look.colour, SEEN_BY[reader]) for name, look in KNOWN.items()}
    distances = {pair: float(np.linalg.norm(labs[pair[0]] - labs[pair[1]])) for pair in combinations(labs, 2)}
    closest = min(distances, key=lambda pair: distances[pair])
    assert distances[closest] > 9, closest


def test_known_looks_are_told_apart_in_grey() -> None:
    assert len({look.marker for look in KNOWN.values()}) == len(KNOWN)


# -- figures as files -------------------------------------------------------------------------------------------------

KINDS = [
    *(("curve", [x]) for x in ("step", "bytes", "seconds")),
    *(("cost_accuracy", [x]) for x in ("bytes", "flops")),
    *((kind, None) for kind in ("alpha_sweep", "critical_difference", "client_classes")),
    *((kind, None) for kind in ("samples", "generator_curves", "decision_regions")),
]


def beyond_the_axes(figure: Figure) -> set[Text]:
    """Labels of ticks outside the limits, which matplotlib makes and does not draw."""
    unseen: set[Text] = set()
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        slack = 1e-6 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - slack <= tick.get_loc() <= high + slack:
                unseen |= {tick.label1, tick.label2}
    return unseen


@pytest.mark.parametrize(("kind", "x"), KINDS)
def test_no_label_is_clipped_and_no_legend_covers_data(study: Study, kind: str, x: list[str] | None) -> None:
    plot = one(study, kind, x)
    plot.image("png", 72)  # lays the figure out
    figure: Figure = plot.figure
    page, unseen = figure.bbox.padded(1), beyond_the_axes(figure)
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text() and text not in unseen:
            box = text.get_window_extent()
            assert page.containsx(box.x0), text
            assert page.containsx(box.x1), text
            assert page.containsy(box.y0), text
            assert page.containsy(box.y1), text
    panels = [axes.get_window_extent() for axes in figure.axes]
    for legend in figure.legends:
        assert not any(legend.get_window_extent().overlaps(panel) for panel in panels)
    for axes in figure.axes:
        ticks = [tick for tick in axes.get_xticklabels() if tick.get_text() and tick not in unseen]
        boxes = [tick.get_window_extent() for tick in ticks]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), "ticks overlap"


def test_files_are_written_with_their_data_and_are_the_same_every_time(store: Store, study: Study) -> None:
    pdf = one(study, "alpha_sweep").save(store)
    first = [pdf.with_suffix(suffix).read_bytes() for suffix in (".pdf", ".png", ".csv")]
    assert first[0].startswith(b"%PDF")
    assert b"/Type3" not in first[0]
    assert b"/CIDFontType2" in first[0]
    assert first[1].startswith(b"\x89PNG")
    assert first[2].splitlines()[0] == b"algorithm,setting,alpha,mean,std,n"
    one(study, "alpha_sweep").save(store)
    assert [pdf.with_suffix(suffix).read_bytes() for suffix in (".pdf", ".png", ".csv")] == first
