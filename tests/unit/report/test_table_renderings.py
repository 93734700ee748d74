"""Tables as text and LaTeX."""

from itertools import product
from typing import Any

from rich.console import Console
from tables import cell, grid, table

from mosaic_bench.report.latex import render_latex
from mosaic_bench.report.table import Table
from mosaic_bench.report.text import render_text
from mosaic_bench.store import State


def text(rendered: Table, **terminal: Any) -> str:
    console = Console(width=100, **terminal)
    with console.capture() as captured:
        console.print(render_text(rendered))
    return captured.get()


def test_latex_with_two_column_levels() -> None:
    accuracies = {
        ("fedavg", "mnist", "iid"): [0.9, 0.92],
        ("fedavg", "mnist", "dirichlet(alpha=0.1)"): [0.5, 0.5],
        ("fedavg", "my_set", "iid"): [0.3, 0.3],
        ("dense", "mnist", "iid"): [0.8, 0.9],
        ("dense", "mnist", "dirichlet(alpha=0.1)"): [0.5, 0.5],
        ("dense", "my_set", "iid"): [0.4, 0.6],
    }
    made = table(grid(accuracies, "algorithm", "dataset", "partition"), name="by-data", caption="50% & more")
    assert render_latex(made, "golden") == (
        r"""\begin{table*}[t]
\centering
\caption{50\% \& more. Accuracy of the server on test images in \%, last step; mean $\pm$ sample standard deviation over seeds, n = 2.}
\label{tab:golden-by-data}
\begin{tabular}{lccc}
\toprule
 & \multicolumn{2}{c}{MNIST} & my\_set \\
\cmidrule(lr){2-3} \cmidrule(lr){4-4}
 & IID & Dirichlet($\alpha$=0.1) & IID \\
\midrule
FedAvg & \textbf{91.0} $\pm$ 1.4 & \textbf{50.0} $\pm$ 0.0 & \underline{30.0} $\pm$ 0.0 \\
DENSE & \underline{85.0} $\pm$ 7.1 & \textbf{50.0} $\pm$ 0.0 & \textbf{50.0} $\pm$ 14.1 \\
\bottomrule
\end{tabular}
\par\smallskip
\begin{minipage}{\linewidth}\footnotesize
n = 2: too few seeds to claim a difference; an exact paired test needs 6.\par
\end{minipage}
\end{table*}
"""  # noqa: E501
    )


def test_latex_with_three_column_levels_rules_off_each_group() -> None:
    places = product(["fedavg"], ["mnist", "svhn"], ["iid", "shards"], ["mlp", "cnn"])
    made = table(grid({place: [0.5] for place in places}, "algorithm", "dataset", "partition", "models"))
    header = render_latex(made, "s").split("\\toprule\n")[1].split("\\midrule")[0]
    pairs = " & ".join([r"\multicolumn{2}{c}{IID} & \multicolumn{2}{c}{shards}"] * 2)
    assert header.splitlines() == [
        r" & \multicolumn{4}{c}{MNIST} & \multicolumn{4}{c}{SVHN} \\",
        r"\cmidrule(lr){2-5} \cmidrule(lr){6-9}",
        rf" & {pairs} \\",
        r"\cmidrule(lr){2-3} \cmidrule(lr){4-5} \cmidrule(lr){6-7} \cmidrule(lr){8-9}",
        " & " + " & ".join(["mlp", "cnn"] * 4) + r" \\",
    ]


def test_latex_with_gaps_and_one_column() -> None:
    results = [
        cell(0.5, algorithm="fedavg", partition="iid", seed="0"),
        cell(None, State.UNSUPPORTED, "it needs 100% of\nthe clients", algorithm="dense", partition="iid", seed="0"),
        cell(None, State.PLANNED, algorithm="later", partition="iid", seed="0"),
        cell(None, State.FAILED, "KeyError: 'x'", algorithm="fed_new", partition="iid", seed="0"),
    ]
    lines = render_latex(table(results), "s").splitlines()
    end = lines.index(r"\end{tabular}")
    assert lines[end + 3 : end + 5] == [
        r"\textsuperscript{a} unsupported: it needs 100\% of the clients\par",
        r"\textsuperscript{b} failed: KeyError: 'x'\par",
    ]
    assert lines[lines.index(r"\toprule") : end] == [
        r"\toprule",
        r" & accuracy \\",
        r"\midrule",
        r"FedAvg & 50.0 \\",
        r"DENSE & n/a\textsuperscript{a} \\",
        r"later & -- \\",
        r"fed\_new & fail\textsuperscript{b} \\",
        r"\bottomrule",
    ]


def test_text_is_plain_when_piped_and_marks_means_on_a_terminal() -> None:
    accuracies = {("fedavg", "iid"): [0.9, 0.92], ("fedavg", "shards"): [0.5], ("dense", "iid"): [0.8, 0.8]}
    made = table(grid(accuracies, "algorithm", "partition"))
    assert [line.split() for line in text(made).splitlines() if "─" not in line and line.strip()] == [
        ["IID", "shards"],
        ["FedAvg", "91.0", "±", "1.4", "50.0", "[a]"],
        ["DENSE", "80.0", "±", "0.0", "--"],
    ]
    assert "\x1b" not in text(made)
    styled = text(made, force_terminal=True, color_system="standard", legacy_windows=False)
    assert "\x1b[1m91.0 ± 1.4\x1b[0m" in styled
    assert "\x1b[4m80.0 ± 0.0\x1b[0m" in styled
    assert "\x1b[1m50.0" not in styled  # alone in its column


def test_brackets_in_names_are_text() -> None:
    made = table(grid({("mine[/b]", "x[bold]"): [0.5], ("mine[/b]", "y"): [0.5]}, "algorithm", "dataset"))
    assert "mine[/b]" in text(made)
    assert "x[bold]" in text(made)
