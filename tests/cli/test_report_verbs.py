"""The verbs plots and report, and what a suite may ask of them."""

import re
import subprocess
from pathlib import Path

import pytest
from calls import Call
from runs import WITHOUT_TORCH

Tiny = tuple[Path, Path, str]

SUITE = """\
suite: s
grid:
  algorithm: [fedavg, dense]
  partition: [iid, {dirichlet: {alpha: 0.1}}]
  models:
    - {arch: cnn, widths: [1, 0.5], norm: none}
    - {arch: cnn, widths: [1, 0.5], norm: none, extract: rolling}
    - {arch: cnn, widths: [1, 0.5], norm: group, extract: rolling}
dataset: digits
federation: {clients: 2, rounds: 1}
local: {steps: 1, batch: 8}
report:
"""


def run(*arguments: object) -> str:
    """Run a verb to its end in a process that must not import torch; return what it printed."""
    command = [*WITHOUT_TORCH, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_plots_writes_every_figure_with_its_data_and_says_what_it_cannot_draw(tiny: Tiny) -> None:
    printed = run("plots", tiny[0], "--results", tiny[1])
    plots = tiny[1] / "tiny" / "plots"
    names = {path.stem for path in plots.iterdir()}
    assert names >= {"curve-step", "curve-bytes", "curve-seconds", "alpha-sweep", "cost-bytes", "critical-difference"}
    assert {path.suffix for path in plots.glob("curve-step.*")} == {".pdf", ".png", ".csv"}
    assert "samples: not drawn: no cell has left arrays" in printed


def test_report_writes_one_file_that_names_every_cell(tiny: Tiny) -> None:
    file = Path(run("report", "tiny", "--results", tiny[1]).strip())
    assert file == tiny[1] / "tiny" / "report.html"
    text = file.read_text()
    assert len(re.findall("<tr data-key=", text)) == 8
    assert "A [tiny] suite" in text


def test_tables_are_written_in_three_formats(tiny: Tiny) -> None:
    folder = tiny[1] / "tiny" / "tables"
    assert {path.name for path in folder.iterdir()} == {"main.tex", "main.md", "main.csv"}
    assert "| FedAvg |" in (folder / "main.md").read_text()


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("plots: [{kind: curv}]", "s.yaml:13: report.plots[0].kind should be 'curve', 'alpha_sweep',"),
        ("plots: [{kind: curv}]", "got 'curv'; did you mean 'curve'?"),
        ("plots: [{knd: curve}]", "s.yaml:13: unknown key 'knd'; did you mean 'kind'?"),
        (
            "plots: [{kind: curve, x: flops}]",
            "curve cannot be drawn against flops; it takes one of step, bytes, seconds",
        ),
        ("plots: [{kind: alpha_sweep, x: [step]}]", "alpha_sweep cannot be drawn against step; it takes none"),
        ("plots: [{kind: samples, metric: acc/server@val}]", "samples shows the headline; only a curve takes a metric"),
        ("tables: [{preset: width}]", "s.yaml:13: report.tables[0].preset should be 'accuracy', 'alpha', 'widths',"),
        ("tables: [{preset: width}]", "did you mean 'widths'?"),
        (
            "tables: [{preset: privacy, mark: [best]}]",
            "s.yaml:13: report.tables[0].mark: a privacy table marks no best: the smallest distance, 0, is a copy",
        ),
        (
            "tables: [{preset: cost, shade: seeds}]",
            "s.yaml:13: report.tables[0].shade: a cost table compares no methods; only accuracies can be shaded",
        ),
        ("tables: [{shade: seed}]", "got 'seed'; did you mean 'seeds'?"),
        (
            "tables: [{columns: [partition, model.extract]}]",
            "s.yaml:13: columns of table 'main': 'model.extract' is not an axis of this grid",
        ),
        (
            "tables: [{preset: widths}]",
            "s.yaml:13: table 'main' has one place for cnn(widths=1/0.5, norm=none, extract=rolling) and "
            "cnn(widths=1/0.5, norm=group, extract=rolling); show 'models'",
        ),
        ("tables: [{columns: [partition]}]", "s.yaml:13: table 'main' has no place for axis 'models'"),
    ],
)
def test_a_wrong_report_section_names_file_line_and_what_was_meant(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(f"{SUITE}  {report}\n")
    ended = call("check", "s.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_presets_and_parameters_of_axes_are_welcome(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = [
        *("{name: a, preset: alpha}", "{name: c, preset: cost}", "{name: b, preset: ablation, shade: images}"),
        "{name: d, rows: [partition, algorithm], columns: [models.extract, models.norm], spread: interval}",
    ]
    Path("s.yaml").write_text(f"{SUITE}  tables: [{', '.join(tables)}]\n  plots: [{{kind: curve, x: [bytes]}}]\n")
    assert call("check", "s.yaml").code == 0
