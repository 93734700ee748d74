"""A table for a paper: booktabs, through pandas' Styler."""

from __future__ import annotations

import pandas as pd

from mosaic_bench.report.names import display
from mosaic_bench.report.table import Entry, Table

_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
_SYMBOLS = {"α": r"$\alpha$", "ρ": r"$\rho$", "σ": r"$\sigma$", "±": r"$\pm$", "→": r"$\to$", "–": "--"}
_SPECIAL = {c: "\\" + c for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def render_latex(table: Table, suite: str) -> str:
    """Return a ``table`` environment; needs the booktabs and multirow packages.

    Best means are bold, second ones underlined; the label is ``tab:SUITE-NAME``.
    """
    header = [tuple(_label(part, table) for part in column) or ("accuracy",) for column in table.columns]
    columns = pd.MultiIndex.from_tuples(header) if len(header[0]) > 1 else pd.Index([h[0] for h in header])
    body = [[_entry(table.entries.get((row, column))) for column in table.columns] for row in table.rows]
    frame = pd.DataFrame(body, index=[_label(row, table) for row in table.rows], columns=columns)
    text = frame.style.to_latex(
        hrules=True,
        position="t",
        position_float="centering",
        column_format="l" + "c" * len(table.columns),
        multicol_align="c",
        caption=escape(table.caption),
        label=f"tab:{suite}-{table.name}",
    )
    notes = "".join(f"% {note}\n" for note in table.notes)
    return notes + text


def escape(text: str) -> str:
    """Escape what LaTeX would read as a command, and write Greek letters and signs as mathematics."""
    return "".join(_SPECIAL.get(c, _SYMBOLS.get(c, c)) for c in text)


def _label(label: str, table: Table) -> str:
    return escape(display(label, table.titles))


def _entry(entry: Entry | None) -> str:
    if entry is None or entry.mean is None:
        return escape(entry.gap if entry else "--")
    spread = rf" $\pm$ {100 * entry.std:.1f}" if entry.std is not None else ""
    return _MARKS[entry.mark] % f"{100 * entry.mean:.1f}" + spread
