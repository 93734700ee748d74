"""A table for a paper, in booktabs style, through pandas' Styler."""

from __future__ import annotations

from itertools import groupby

import pandas as pd

from mosaic_bench.report.names import display
from mosaic_bench.report.table import Column, Entry, Table

_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
_GREEK = {
    **{"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta"},
    **{"κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma"},
    **{"τ": "tau", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta", "Σ": "Sigma", "Ω": "Omega"},
}
_SIGNS = {"±": "pm", "→": "to", "×": "times", "·": "cdot", "†": "dagger", "≤": "le", "≥": "ge"}
_ESCAPED = {
    **{sign: f"$\\{name}$" for sign, name in (_GREEK | _SIGNS).items()},
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},
    "–": "--",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def render_latex(table: Table, suite: str) -> str:
    """Return a ``table`` environment; the paper needs the booktabs package.

    Best means are bold, second ones underlined; the label is ``tab:SUITE-NAME``. Reasons for gaps are comments at the
    top.
    """
    header = [("",) * max(1, len(table.levels)), *_header(table)]
    body = [[_label(row, table), *(_entry(table, row, column) for column in table.columns)] for row in table.rows]
    # Row labels are a column of their own: Styler refuses an index in which a label stands twice.
    columns = pd.MultiIndex.from_tuples(header) if len(table.levels) > 1 else pd.Index([name for (name,) in header])
    frame = pd.DataFrame(body, columns=columns)
    text = frame.style.hide(axis="index").to_latex(
        hrules=True,
        position="t",
        position_float="centering",
        column_format="l" + "c" * len(table.columns),
        multicol_align="c",
        caption=escape(table.caption),
        label=f"tab:{suite}-{table.name}",
    )
    return "".join(f"% {note}\n" for note in table.notes) + _ruled(text, table)


def escape(text: str) -> str:
    """Escape what LaTeX would read as a command, and write Greek letters and signs as mathematics."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def _header(table: Table) -> list[tuple[str, ...]]:
    return [tuple(_label(part, table) for part in column) or ("accuracy",) for column in table.columns]


def _ruled(text: str, table: Table) -> str:
    """Rule off each column group below its name, which Styler does not do."""
    lines = text.splitlines()
    first = lines.index(r"\toprule") + 1
    for depth in range(len(table.levels) - 1, 0, -1):
        lines.insert(first + depth, _rules(table.columns, depth))
    return "\n".join(lines) + "\n"


def _rules(columns: list[Column], depth: int) -> str:
    rules, left = [], 2
    for _, members in groupby(columns, key=lambda column: column[:depth]):
        right = left + len(list(members)) - 1
        rules.append(rf"\cmidrule(lr){{{left}-{right}}}")
        left = right + 1
    return " ".join(rules)


def _label(label: str, table: Table) -> str:
    return escape(display(label, table.titles))


def _entry(table: Table, row: str, column: tuple[str, ...]) -> str:
    entry = table.entries.get((row, column), Entry.absent())
    if entry.mean is None:
        return entry.gap
    spread = rf" $\pm$ {100 * entry.std:.1f}" if entry.std is not None else ""
    return _MARKS[entry.mark] % f"{100 * entry.mean:.1f}" + spread
