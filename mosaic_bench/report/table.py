"""A table as numbers: means over seeds, spread, marks, gaps and notes, before any markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isnan

from mosaic_bench.report.comparisons import not_worse
from mosaic_bench.report.contests import contests
from mosaic_bench.report.costs import cost_entries
from mosaic_bench.report.differences import first_rows, with_differences
from mosaic_bench.report.entry import GAPS, Entry
from mosaic_bench.report.layout import Label, Layout, Place, lay_out
from mosaic_bench.report.names import display, in_words
from mosaic_bench.report.notes import Note, Notes, annotated, most_seeds
from mosaic_bench.report.privacy import privacy_entries
from mosaic_bench.report.quantities import finished, keys_of
from mosaic_bench.report.statistics import FEWEST_FOR_CLAIM, FEWEST_FOR_INTERVAL
from mosaic_bench.report.study import Study
from mosaic_bench.report.variance import variance_entries
from mosaic_bench.store import State
from mosaic_bench.suite import HeadlineSpec, TableSpec


@dataclass(frozen=True)
class Table:
    """A table over one suite.

    Attributes:
        name, caption: from the suite.
        row_axes, column_axes: what the levels of rows and columns are.
        rows, columns: labels in the order of the grid.
        entries: (row, column) -> entry.
        notes: reasons for the gaps, and what the numbers do not support.
        titles: what algorithms call themselves, by name.
    """

    name: str
    caption: str
    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    rows: list[Label]
    columns: list[Label]
    entries: dict[Place, Entry]
    notes: list[Note]
    titles: Mapping[str, str] = field(default_factory=dict)

    def entry(self, row: Label, column: Label) -> Entry:
        """Return what stands at a place."""
        return self.entries.get((row, column), Entry.absent())

    def row_labels(self, number: int) -> list[str]:
        """Return what readers call a row, level by level; outer labels that the row above has too are left out."""
        row, above = self.rows[number], self.rows[number - 1] if number else ()
        return [
            "" if row[: depth + 1] == above[: depth + 1] else display(part, self.titles)
            for depth, part in enumerate(row)
        ]

    def row_headings(self) -> tuple[str, ...]:
        """Return the names of the row levels; one level needs no name."""
        return self.row_axes if len(self.row_axes) > 1 else ("",)


def make_table(study: Study, spec: TableSpec) -> Table:
    """Group cells by row and column, average over what is left (seeds), and mark each setting's best means.

    Means share a mark that are equal before they are rounded for print, but for the last bits of their sums.
    """
    study = study.judged_by(spec.headline)
    rows, columns = spec.axes(list(study.axes))
    layout = lay_out([result.coordinates for result in study.results], rows, columns)
    notes = Notes()
    if spec.shows_headline:
        entries = _accuracies(study, layout, spec)
    else:
        layout, entries = _QUANTITIES[spec.preset](study, layout, spec)
    entries = _marked(layout, entries, spec)
    if spec.shade != "none":
        entries, caveat = not_worse(study, layout, entries, spec.shade)
        notes.add(caveat)
    if spec.preset == "ablation":
        layout, entries = with_differences(study, layout, entries)
    entries = annotated(study, layout, entries, notes, study.report.headline.metric if spec.shows_headline else "")
    _caveats(study, layout, entries, spec, notes)
    caption = _caption(study, layout, entries, spec)
    return Table(
        spec.name,
        caption,
        layout.row_axes,
        layout.column_axes,
        layout.rows,
        layout.columns,
        entries,
        notes.all(),
        study.titles,
    )


def _accuracies(study: Study, layout: Layout, spec: TableSpec) -> dict[Place, Entry]:
    values = study.cells["value"].to_numpy()
    entries = {}
    for place, numbers in layout.places.items():
        measured = [number for number in numbers if not isnan(values[number])]
        if measured:
            made = Entry.of([values[number] for number in measured], spec.spread)
            entries[place] = replace(made, keys=keys_of(study, measured))
        elif finished(study, numbers) == numbers:  # and none has it
            entries[place] = Entry.absent(GAPS[State.UNSUPPORTED])
        else:
            entries[place] = Entry.gap_of(study.results[number].status.state for number in numbers)
    return entries


def _marked(layout: Layout, entries: dict[Place, Entry], spec: TableSpec) -> dict[Place, Entry]:
    """Mark the best means of each contest among those over the most seeds; one alone is not the best of anything."""
    lower_is_better = not spec.shows_headline
    marked = dict(entries)
    for means in (contest.eligible for contest in contests(layout, entries) if len(contest.eligible) > 1):
        ranked = sorted(set(means.values()), reverse=not lower_is_better)
        marks = {mean: mark for mean, mark in zip(ranked, ("best", "second"), strict=False) if mark in spec.marks}
        marked |= {place: replace(entries[place], mark=marks.get(mean, "")) for place, mean in means.items()}
    return marked


def _caveats(study: Study, layout: Layout, entries: dict[Place, Entry], spec: TableSpec, notes: Notes) -> None:
    """Say what the numbers do not support."""
    if any("†" in display(label, study.titles) for place in (*layout.rows, *layout.columns) for label in place):
        notes.add("† departs from the paper it is named after.")
    most = most_seeds(entries)
    notes.add(_CAVEATS.get(spec.preset, ""))
    if spec.shows_headline and study.unmeasured and (study.cells["state"] == State.DONE.value).any():
        notes.add(f"{study.unmeasured[0].upper()}{study.unmeasured[1:]}.")
    if spec.shows_headline and 0 < most < FEWEST_FOR_CLAIM:
        notes.add(f"n = {most}: too few seeds to claim a difference; an exact paired test needs {FEWEST_FOR_CLAIM}.")
    if spec.spread == "interval" and 0 < most < FEWEST_FOR_INTERVAL:
        notes.add(f"Intervals over seeds are given from {FEWEST_FOR_INTERVAL} seeds on.")


def _caption(study: Study, layout: Layout, entries: Mapping[Place, Entry], spec: TableSpec) -> str:
    fixed = [display(text, study.titles) for text in layout.fixed]
    setting = f" ({', '.join(fixed)})" if fixed else ""
    spread = {"std": "mean ± sample standard deviation over seeds", "interval": _INTERVAL, "none": "mean over seeds"}
    start = f"{' '.join((spec.caption or study.title).split())}{setting}."
    counts = _counts(entries.values())
    if not spec.shows_headline:
        over = "" if spec.preset == "variance" else f"; {spread[spec.spread]}"
        return f"{start} {_MEASURED[spec.preset]}{over}, {counts}."
    headline = study.report.headline
    what = f"{in_words(headline.metric)} in %, {_rule(headline)}"
    differences = f"; Δ: mean difference from {_first(study, layout)} in points" if spec.preset == "ablation" else ""
    return f"{start} {what}; {spread[spec.spread]}, {counts}{differences}."


_QUANTITIES = {"cost": cost_entries, "privacy": privacy_entries, "variance": variance_entries}
_MEASURED = {
    "cost": (
        "Totals of a run: communication, time of clients and server, the clients' forward and backward passes, peak "
        "memory"
    ),
    "privacy": (
        "Clients' generated images against their training images and as many held-out ones of the same classes, in "
        "pixel space: ratio of median distances to the nearest (1 is neutral), and area under the curve of the attack "
        "that takes an image near a generated one for a training image (0.5 is neutral)"
    ),
    "variance": (
        "Variance over seeds of each model's class probabilities, summed over classes and averaged over test images"
    ),
}
_CAVEATS = {
    "privacy": "A measurement of one attack, no guarantee.",
    "variance": "Seeds differ in partition too. A low variance is no merit by itself: one fixed answer has none.",
}
_INTERVAL = "mean and 95 % interval over seeds (Student's t)"


def _rule(headline: HeadlineSpec) -> str:
    return {"last": "last step", "mean_last_k": f"mean of the last {headline.k} evaluated steps"}.get(
        headline.rule, "step that was best on validation images"
    )


def _first(study: Study, layout: Layout) -> str:
    """What the differences of an ablation are from: one method, or one per group of rows."""
    names = {display(row[-1], study.titles) for row in first_rows(layout).values()}
    return names.pop() if len(names) == 1 else "the first row of the group"


def _counts(entries: Iterable[Entry]) -> str:
    counts = [entry.n for entry in entries if entry.n]
    if not counts:
        return "no numbers"
    least, most = min(counts), max(counts)
    return f"n = {least}" if least == most else f"n = {least} to {most}"
