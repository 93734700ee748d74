"""A table for a paper, in booktabs style, through pandas' Styler."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby

import pandas as pd

from mosaic_bench.report.entry import Entry
from mosaic_bench.report.layout import Label
from mosaic_bench.report.names import display
from mosaic_bench.report.notes import Note
from mosaic_bench.report.table import Table

_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
_SHADE = r"\cellcolor{gray!20}"
_COLUMN, _PAGE, _SMALL_PAGE = 48, 95, 105  # letters that fit a column, a page, and a page in footnote size
_GREEK = {
    **{"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta"},
    **{"ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma"},
    **{"ς": "varsigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega"},
    **{"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma"},
    **{"Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega"},
}
_LIKE_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))  # Greek letters that LaTeX has no names for
_SIGNS = {
    **{"±": "pm", "→": "to", "←": "gets", "×": "times", "·": "cdot", "†": "dagger"},
    **{"≤": "le", "≥": "ge", "≈": "approx", "≠": "neq", "∞": "infty", "∈": "in"},
}
_ESCAPED = {
    **{sign: f"$\\{name}$" for sign, name in (_GREEK | _SIGNS).items()},
    **_LIKE_LATIN,
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},
    "−": "$-$",
    "–": "--",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}
_OTHERS = "—‘’“”‡•…‰€™"  # beyond European letters, that pdflatex writes in every font encoding
_NOT_EVERYWHERE = "«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ"


def render_latex(table: Table, suite: str) -> str:
    """Return a ``table`` environment, for booktabs, graphicx and, with shades, ``\\usepackage[table]{xcolor}``.

    Best means are bold, second ones underlined; the label is ``tab:SUITE-NAME``; notes stand below. Tables too
    wide for a column span a two-column page (``table*``), get smaller letters where that is not enough, and are scaled
    to the page where even that is not.
    """
    letters = _width(table)
    heading = [*_row_headings(table), *_column_headings(table)]
    body = [[*_labels(table, n), *_entries(table, row)] for n, row in enumerate(table.rows)]
    # Row labels are columns of their own: Styler refuses an index in which a label stands twice.
    columns = pd.MultiIndex.from_tuples(heading) if len(heading[0]) > 1 else pd.Index([name for (name,) in heading])
    text = (
        pd.DataFrame(body, columns=columns)
        .style.hide(axis="index")
        .to_latex(
            hrules=True,
            position="t",
            position_float="centering",
            column_format="l" * len(table.row_axes) + "c" * len(table.columns),
            multicol_align="c",
            environment="table*" if letters > _COLUMN else "table",
            caption=escape(table.caption),
            label=f"tab:{suite}-{table.name}",
        )
    )
    lines = _ruled(text, table)
    if letters > _PAGE:
        lines.insert(lines.index(r"\centering") + 1, r"\footnotesize\setlength{\tabcolsep}{3pt}")
    written = _with_notes(lines, table.notes)
    return _scaled(written) if letters > _SMALL_PAGE else written


def escape(text: str) -> str:
    """Escape what LaTeX would read as a command, and write what pdflatex would stop at in another way.

    Greek letters and signs become mathematics, white space a blank; control codes are dropped, and other characters
    that not every font encoding has are written as their Unicode name in brackets.
    """
    return "".join(map(_escaped, unicodedata.normalize("NFC", text)))


def _escaped(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if character.isspace():
        return " "
    if not character.isprintable():
        return ""
    is_european = ord(character) < 0x180 and character not in _NOT_EVERYWHERE
    return character if is_european or character in _OTHERS else f"[{unicodedata.name(character, 'unknown').lower()}]"


def _width(table: Table) -> int:
    """About how many letters a line of the table takes."""
    labels = [max(len(display(row[level], table.titles)) for row in table.rows) for level in range(len(table.row_axes))]
    numbers = []
    for column in table.columns:
        entries = [table.entry(row, column) for row in table.rows]
        heading = len(display(column[-1], table.titles)) if column else 0
        numbers.append(max(heading, *(len(entry.number + entry.spread) for entry in entries)))
    return sum(labels) + sum(numbers) + 2 * (len(labels) + len(numbers) - 1)


def _row_headings(table: Table) -> list[tuple[str, ...]]:
    above = ("",) * (max(1, len(table.column_axes)) - 1)
    return [(*above, escape(name)) for name in table.row_headings()]


def _column_headings(table: Table) -> list[tuple[str, ...]]:
    return [tuple(_label(part, table) for part in column) or ("accuracy",) for column in table.columns]


def _labels(table: Table, number: int) -> list[str]:
    """A row's labels; a first one that the end of the line above would take for its own argument is kept from it."""
    first, *others = map(escape, table.row_labels(number))
    return [f"{{}}{first}" if first.startswith(("[", "*")) else first, *others]


def _entries(table: Table, row: Label) -> list[str]:
    return [_entry(table.entry(row, column)) for column in table.columns]


def _entry(entry: Entry) -> str:
    number = escape(entry.number)
    if entry.mean is not None:
        number = _MARKS[entry.mark] % number + escape(entry.spread)
    signs = rf"\textsuperscript{{{','.join(entry.notes)}}}" if entry.notes else ""
    return (_SHADE if entry.shaded else "") + number + signs


def _label(label: str, table: Table) -> str:
    return escape(display(label, table.titles))


def _ruled(text: str, table: Table) -> list[str]:
    """Rule off each column group below its name and each row group from the next, which Styler does not do."""
    lines = text.splitlines()
    body = lines.index(r"\midrule") + 1
    for number in range(len(table.rows) - 1, 0, -1):
        if table.rows[number][:-1] != table.rows[number - 1][:-1]:
            lines.insert(body + number, r"\midrule")
    first = lines.index(r"\toprule") + 1
    for depth in range(len(table.column_axes) - 1, 0, -1):
        lines.insert(first + depth, _rules(table.columns, depth, len(table.row_axes) + 1))
    return lines


def _rules(columns: list[Label], depth: int, left: int) -> str:
    rules = []
    for _, members in groupby(columns, key=lambda column: column[:depth]):
        right = left + len(list(members)) - 1
        rules.append(rf"\cmidrule(lr){{{left}-{right}}}")
        left = right + 1
    return " ".join(rules)


def _scaled(text: str) -> str:
    """The tabular, and not its notes, made as wide as the page."""
    begin, end = r"\begin{tabular}", r"\end{tabular}"
    return text.replace(begin, rf"\resizebox{{\textwidth}}{{!}}{{{begin}").replace(end, f"{end}}}")


def _with_notes(lines: list[str], notes: Sequence[Note]) -> str:
    """Put the notes below the tabular, as wide as the text."""
    if notes:
        end = lines.index(r"\end{tabular}") + 1
        written = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize"]
        for note in notes:
            written.append((rf"\textsuperscript{{{note.sign}}} " if note.sign else "") + escape(note.text) + r"\par")
        lines[end:end] = [*written, r"\end{minipage}"]
    return "\n".join(lines) + "\n"
