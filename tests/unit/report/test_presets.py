"""Every table preset against a golden text, and every one of them through a real LaTeX."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from studies import Coordinates, write_study

from mosaic_bench.report.latex import render_latex
from mosaic_bench.report.markdown import render_markdown
from mosaic_bench.report.study import read_study
from mosaic_bench.report.table import Table, make_table
from mosaic_bench.report.tidy import render_csv
from mosaic_bench.store import State
from mosaic_bench.suite import TableSpec

GOLDEN = Path(__file__).parent / "golden"

ACCURACIES = {"fedavg": (0.50, 0.52), "feddf": (0.60, 0.64), "dense": (0.60, 0.64)}
SLICES = [
    f"resnet18(widths=(rho={rho}, sigma=4), extract={extract})" for rho in (5, 10) for extract in ("static", "rolling")
]
VARIANTS = ["mosaic", "mosaic(fusion=uniform)", "mosaic(inversion=0)"]


def by_alpha(cell: Coordinates) -> float | tuple[State, str]:
    if (cell["algorithm"], cell["dataset"]) == ("dense", "svhn"):
        return State.UNSUPPORTED, "it needs one_architecture"
    return ACCURACIES[cell["algorithm"]][int(cell["seed"])] + (0.1 if "0.1" in cell["partition"] else 0)


def by_slice(cell: Coordinates) -> float:
    return 0.5 + 0.01 * SLICES.index(cell["models"]) + 0.02 * (cell["algorithm"] == "feddf")


def by_variant(cell: Coordinates) -> float:
    return 0.5 + 0.01 * int(cell["seed"]) + (0, -0.05, 0.01)[VARIANTS.index(cell["algorithm"])]


ALPHA = {
    "algorithm": list(ACCURACIES),
    "dataset": ["mnist", "svhn"],
    "partition": ["dirichlet(alpha=0.01)", "dirichlet(alpha=0.1)"],
    "seed": ["0", "1"],
}
WIDTHS = {"algorithm": ["fedavg", "feddf"], "models": SLICES, "seed": ["0", "1"]}
ABLATION = {"algorithm": VARIANTS, "dataset": ["mnist", "svhn"], "seed": ["0", "1", "2"]}
PRESETS: dict[str, tuple[dict[str, list[str]], Callable[[Coordinates], float | tuple[State, str]]]] = {
    "accuracy": (ALPHA, by_alpha),
    "alpha": (ALPHA, by_alpha),
    "widths": (WIDTHS, by_slice),
    "ablation": (ABLATION, by_variant),
    "cost": (ALPHA, by_alpha),
}


def preset(name: str, path: Path) -> Table:
    axes, accuracy = PRESETS[name]
    store = write_study(path / name, axes, accuracy)
    return make_table(read_study(store), TableSpec.model_validate({"name": name, "preset": name}))


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize(("suffix", "render"), [("md", render_markdown), ("csv", render_csv)])
def test_a_preset_as_markdown_and_csv(name: str, suffix: str, render: Callable[[Table], str], tmp_path: Path) -> None:
    assert render(preset(name, tmp_path)) == (GOLDEN / f"{name}.{suffix}").read_text()


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_as_latex(name: str, tmp_path: Path) -> None:
    assert render_latex(preset(name, tmp_path), "golden") == (GOLDEN / f"{name}.tex").read_text()


# -- shades and intervals ---------------------------------------------------------------------------------------------


def shaded(path: Path, over: str, seeds: int, correct: Callable[[Coordinates], np.ndarray] | None = None) -> Table:
    """FedAvg one point behind FedDF in every seed, DENSE far behind."""
    means = {"fedavg": 0.79, "feddf": 0.80, "dense": 0.30}
    axes = {"algorithm": list(means), "seed": [str(seed) for seed in range(seeds)]}
    store = write_study(
        path / f"{over}{seeds}", axes, lambda c: means[c["algorithm"]] + 0.01 * int(c["seed"]), correct=correct
    )
    return make_table(read_study(store), TableSpec.model_validate({"shade": over, "spread": "interval"}))


def test_three_seeds_shade_nothing_and_say_why(tmp_path: Path) -> None:
    table = shaded(tmp_path, "seeds", 3)
    assert not any(entry.shaded for entry in table.entries.values())
    assert [note.text for note in table.notes] == [
        "Nothing is shaded. No shading where it is not supported: 3 seeds can never reach 5 %.",
        "n = 3: too few seeds to claim a difference; an exact paired test needs 6.",
    ]


def test_enough_seeds_tell_a_small_steady_difference(tmp_path: Path) -> None:
    """One point in each of eight seeds: p = 2/256, which Holm's correction of three comparisons keeps below 5 %."""
    table = shaded(tmp_path, "seeds", 8)
    marks = {row[0]: entry.shaded for (row, _), entry in table.entries.items()}
    assert marks == {"fedavg": False, "feddf": True, "dense": False}
    assert table.entries[("feddf",), ()].interval == pytest.approx((0.8145, 0.8555), abs=1e-4)
    assert re.search(r"\\cellcolor{gray!20}\\textbf{83.5} \[8\d\.\d, 8\d\.\d\]", render_latex(table, "s"))
    assert table.notes[0].text.startswith("Shaded: not significantly worse than the best of its setting (exact paired")


def over_seeds(path: Path, values: dict[str, list[float]]) -> Table:
    """Methods by their accuracies, seed by seed; NaN for a seed that failed."""
    axes = {"algorithm": list(values), "seed": [str(seed) for seed in range(len(values["fedavg"]))]}

    def accuracy(cell: Coordinates) -> float | tuple[State, str]:
        value = values[cell["algorithm"]][int(cell["seed"])]
        return (State.FAILED, "no") if math.isnan(value) else value

    return make_table(read_study(write_study(path / "s", axes, accuracy)), TableSpec(shade="seeds"))


def shades(table: Table) -> dict[str, bool]:
    return {row[0]: entry.shaded for (row, _), entry in table.entries.items()}


GONE = math.nan


def test_a_method_with_one_seed_is_not_called_as_good_as_the_best(tmp_path: Path) -> None:
    values = {"fedavg": [0.95 + seed / 1000 for seed in range(8)], "dense": [0.1] + [GONE] * 7, "feddf": [0.8] * 8}
    table = over_seeds(tmp_path, values)
    assert shades(table) == {"fedavg": True, "dense": False, "feddf": False}
    notes = {note.sign: note.text for note in table.notes}
    told = [notes[sign] for sign in table.entries[("dense",), ()].notes]
    reason = "not compared with the best of its setting: 1 seed can never reach 5 %"
    assert told == ["failed: no", reason, "n = 1"]
    assert table.entries[("feddf",), ()].notes == ()


def test_a_method_that_wins_on_the_common_seeds_is_not_significantly_worse(tmp_path: Path) -> None:
    """DENSE has the hard seeds only: the lower mean, and the better result in each of the six."""
    values = {"fedavg": [0.5] * 6 + [0.99] * 6, "dense": [0.6 + seed / 1000 for seed in range(6)] + [GONE] * 6}
    assert shades(over_seeds(tmp_path, values)) == {"fedavg": True, "dense": True}


def test_power_is_judged_beside_the_other_comparisons(tmp_path: Path) -> None:
    """Three pairs of p = 2/256 leave three for DENSE's seven seeds: 3 · 2/128 is enough there, 4 · 2/128 is not."""
    values = {"fedavg": [0.9] * 8, "feddf": [0.8] * 8, "fedgen": [0.6] * 8, "dense": [0.7] * 7 + [GONE]}
    assert [name for name, yes in shades(over_seeds(tmp_path / "a", values)).items() if yes] == ["fedavg"]
    assert not any("can never" in note.text for note in over_seeds(tmp_path / "b", values).notes)
    even = values | {"feddf": [0.91, 0.89] * 4}
    table = over_seeds(tmp_path / "c", even)
    assert shades(table) == {"fedavg": True, "feddf": True, "fedgen": False, "dense": False}
    assert "6 comparisons over 7 seeds can never reach 5 %" in " ".join(note.text for note in table.notes)


def test_the_best_is_one_of_those_with_the_most_seeds(tmp_path: Path) -> None:
    """And a method that has one seed, and could reach no level, takes nothing from the verdicts on the others."""
    values = {"fedavg": [0.5] * 8, "feddf": [0.4] * 8, "dense": [0.45] * 7 + [GONE], "fedgen": [GONE] * 7 + [0.9]}
    table = over_seeds(tmp_path, values)
    assert [table.entry((name,), ()).mark for name in values] == ["best", "second", "", ""]
    assert shades(table) == {"fedavg": True, "feddf": False, "dense": False, "fedgen": False}
    notes = {note.sign: note.text for note in table.notes}
    assert [notes[sign] for sign in table.entry(("dense",), ()).notes] == ["failed: no", "n = 7"]


def test_methods_without_a_common_seed_are_told_apart_from_worse_ones(tmp_path: Path) -> None:
    values = {"fedavg": [0.9] * 8 + [GONE] * 2, "feddf": [0.8] * 8 + [GONE] * 2, "dense": [GONE] * 8 + [0.7] * 2}
    table = over_seeds(tmp_path, values)
    assert shades(table) == {"fedavg": True, "feddf": False, "dense": False}
    assert any(note.text.endswith("best of its setting: methods share no seed") for note in table.notes)


def test_few_seeds_are_compared_over_test_images(tmp_path: Path) -> None:
    """2,000 images: FedAvg misses ten at random among those that FedDF gets, and the other way round."""

    def correct(cell: Coordinates) -> np.ndarray:
        right = np.arange(2000) < 1600
        if cell["algorithm"] == "fedavg":
            right[:10], right[1600:1610] = False, True
        if cell["algorithm"] == "dense":
            right[:1000] = False
        return right

    table = shaded(tmp_path, "images", 2, correct)
    assert {row[0]: entry.shaded for (row, _), entry in table.entries.items()} == {
        "fedavg": True,
        "feddf": True,
        "dense": False,
    }
    assert "it says nothing about other seeds" in table.notes[0].text
    missing = shaded(tmp_path / "none", "images", 2)
    assert "per-image correctness is missing" in missing.notes[0].text


# -- ablations --------------------------------------------------------------------------------------------------------


def test_a_difference_is_from_the_first_row_of_its_group(tmp_path: Path) -> None:
    values = {"mnist": {"mosaic": 0.9, "mosaic(a=1)": 0.8}, "svhn": {"mosaic": 0.4, "mosaic(a=1)": 0.45}}
    axes = {"algorithm": ["mosaic", "mosaic(a=1)"], "dataset": list(values), "seed": ["0"]}
    store = write_study(tmp_path / "ablation", axes, lambda cell: values[cell["dataset"]][cell["algorithm"]])
    table = make_table(read_study(store), TableSpec(preset="ablation", rows=["dataset", "algorithm"], columns=[]))
    assert {row: table.entry(row, ("Δ",)).number for row in table.rows} == {
        ("mnist", "mosaic"): "",
        ("mnist", "mosaic(a=1)"): "−10.0",
        ("svhn", "mosaic"): "",
        ("svhn", "mosaic(a=1)"): "+5.0",
    }
    assert "Δ: mean difference from Mosaic† in points" in table.caption
    turned = make_table(read_study(store), TableSpec(preset="ablation", rows=["algorithm", "dataset"], columns=[]))
    assert turned.entry(("mosaic(a=1)", "svhn"), ("Δ",)).number == "−35.0"
    assert "Δ: mean difference from MNIST in points" in turned.caption


# -- LaTeX ------------------------------------------------------------------------------------------------------------


def hard(path: Path) -> Table:
    """Long names, many columns, shades, and every kind of gap."""
    algorithms = [
        "fedavg",
        "a_method_whose_name_is_very_long(temperature=4, β=0.5)",
        "100% & more #1",
        "~x^2\\",
        "line\nbreak «Đ» 中 ∂ Γυ ünï² e\u0301 “ž”…",
        "mosaic",
    ]
    ends = {
        1: (State.FAILED, "ValueError: {x} & $y_1$ 50% (traceback in /a/b_c/log.txt)"),
        2: (State.UNSUPPORTED, "it cannot train C:\\slices < 10 % of #clients~"),
        3: (State.PLANNED, ""),
        4: (State.OOM, "needs 12 GB → 3 tries, \x1b[31mlr ≠ ∞\x1b[0m"),
        5: (State.DIVERGED, "the loss became nan"),
    }

    def accuracy(cell: Coordinates) -> float | tuple[State, str]:
        drawn = zlib.crc32(repr({**cell, "seed": ""}).encode())
        if drawn % 10 in ends and cell["algorithm"] != "fedavg":
            return ends[drawn % 10]
        return (drawn % 1000) / 1000 + 0.01 * int(cell["seed"])

    axes = {
        "algorithm": algorithms,
        "dataset": ["a_very_long_name_of_a_data_set", "cifar100", "x&y"],
        "partition": ["iid", "dirichlet(alpha=0.1)", "shards(per_client=2)"],
        "models": ["resnet18", "mlp/cnn(assign=capacity)"],
        "seed": [str(seed) for seed in range(8)],
    }
    study = read_study(write_study(path / "hard", axes, accuracy))
    return make_table(study, TableSpec(name="hard", shade="seeds"))


def bracketed(path: Path) -> Table:
    """Rows that begin with what LaTeX takes for an argument of the line above, in its own letters and by name."""
    axes = {"dataset": ["[x]", "*y", "数"], "seed": ["0", "1"]}
    return make_table(read_study(write_study(path / "bracketed", axes, lambda cell: 0.5)), TableSpec(name="bracketed"))


def test_the_hard_table_has_every_kind_of_gap(tmp_path: Path) -> None:
    gaps = {entry.gap for entry in hard(tmp_path).entries.values()}
    assert gaps >= {"n/a", "fail", "--", "oom", "div"}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_every_table_compiles(tmp_path: Path) -> None:
    presets = [preset(name, tmp_path) for name in PRESETS]
    tables = [*presets, hard(tmp_path), shaded(tmp_path, "seeds", 8), bracketed(tmp_path)]
    body = "\n".join(render_latex(table, "paper") for table in tables)
    references = " ".join(rf"\ref{{{label}}}" for label in re.findall(r"\\label\{(.*?)\}", body))
    document = (
        "\\documentclass[twocolumn]{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs,graphicx}\n"
        f"\\usepackage[table]{{xcolor}}\n\\begin{{document}}\n{references}\n{body}\n\\end{{document}}\n"
    )
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    for _ in range(2):  # the second run resolves the references
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout[-3000:]
    assert "undefined" not in done.stdout
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert max(too_wide, default=0.0) < 15, too_wide  # points; half a letter of room on either side
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
