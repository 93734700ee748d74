"""A table for a paper, in booktabs style."""

from __future__ import annotations

from itertools import groupby

from mosaic_bench.report.names import display
from mosaic_bench.report.table import Entry, Table

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
    rows = [
        _line([_label(row, table), *(_entry(table, row, column) for column in table.columns)]) for row in table.rows
    ]
    return "\n".join(
        [
            *(f"% {note}" for note in table.notes),
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{suite}-{table.name}}}",
            rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
            r"\toprule",
            *_header(table),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Escape what LaTeX would read as a command, and write Greek letters and signs as mathematics."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def _header(table: Table) -> list[str]:
    """One line per column level; a level above the last spans its columns and is ruled off below them."""
    if not table.levels:
        return [_line(["", "accuracy"])]
    lines = []
    for depth in range(1, len(table.levels)):
        spans, rules, left = [""], [], 2
        for group, members in groupby(table.columns, key=lambda column: column[:depth]):
            width = len(list(members))
            spans.append(rf"\multicolumn{{{width}}}{{c}}{{{_label(group[-1], table)}}}")
            rules.append(rf"\cmidrule(lr){{{left}-{left + width - 1}}}")
            left += width
        lines += [_line(spans), " ".join(rules)]
    return [*lines, _line(["", *(_label(column[-1], table) for column in table.columns)])]


def _line(places: list[str]) -> str:
    return " & ".join(places) + r" \\"


def _label(label: str, table: Table) -> str:
    return escape(display(label, table.titles))


def _entry(table: Table, row: str, column: tuple[str, ...]) -> str:
    entry = table.entries.get((row, column), Entry.absent())
    if entry.mean is None:
        return entry.gap
    spread = rf" $\pm$ {100 * entry.std:.1f}" if entry.std is not None else ""
    return _MARKS[entry.mark] % f"{100 * entry.mean:.1f}" + spread
