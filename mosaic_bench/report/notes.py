"""What stands below a table: reasons for the gaps, and what the numbers do not support."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import isnan

from mosaic_bench.report.entry import Entry
from mosaic_bench.report.layout import Layout, Place
from mosaic_bench.report.results import CellResult
from mosaic_bench.report.study import Study
from mosaic_bench.store import State


@dataclass(frozen=True)
class Note:
    """A sentence under a table.

    Attributes:
        sign: stands at the places it speaks of; empty for the whole table.
        text: the sentence.
        detail: where to read more, for the person at the keyboard rather than the reader of a paper.
    """

    sign: str
    text: str
    detail: str = ""


class Notes:
    """Sentences under a table; equal ones share a sign."""

    def __init__(self) -> None:
        self._signed: dict[str, Note] = {}
        self._general: dict[str, None] = {}

    def add(self, sentence: str) -> None:
        """Add a sentence about the whole table; nothing when it is empty."""
        if sentence:
            self._general[sentence] = None

    def sign(self, sentence: str) -> str:
        """Return the sign of a sentence about some places."""
        text, detail = _without_path(sentence)
        note = self._signed.setdefault(text, Note(_letters(len(self._signed)), text, detail))
        return note.sign

    def all(self) -> list[Note]:
        """Signed sentences first."""
        return [*self._signed.values(), *(Note("", sentence) for sentence in self._general)]


def annotated(
    study: Study, layout: Layout, entries: Mapping[Place, Entry], notes: Notes, metric: str
) -> dict[Place, Entry]:
    """Put signs at the places that have something to say; in reading order, so that signs ascend.

    Args:
        study, layout, entries: the table so far.
        notes: takes the sentences.
        metric: that the entries are means of; empty for other quantities.
    """
    signed = dict(entries)
    most, cells = most_seeds(entries), list(zip(study.results, study.cells["value"].to_numpy(), strict=True))
    for place in ((row, column) for row in layout.rows for column in layout.columns):
        if place in entries:
            entry, here = entries[place], [cells[number] for number in layout.places.get(place, ())]
            sentences = (*_of_cells(here, metric), *_of_entry(entry, most))
            signed[place] = replace(entry, notes=tuple(dict.fromkeys(map(notes.sign, sentences))))
    return signed


def most_seeds(entries: Mapping[Place, Entry]) -> int:
    """Seeds in the mean that has the most of them."""
    return max((entry.n for entry in entries.values()), default=0)


def _of_cells(cells: Iterable[tuple[CellResult, float]], metric: str) -> Iterator[str]:
    """What the cells of a place, with their headlines, have to say."""
    for result, value in cells:
        said = " ".join(result.status.message.split())
        if said:
            yield f"{result.status.state.value}: {said}"
        if result.stale:
            yield f"stale: {result.stale}"
        if metric and result.status.state is State.DONE and isnan(value):
            yield f"has no {metric}"


def _of_entry(entry: Entry, most: int) -> Iterator[str]:
    """What is to be said of a mean beside the others of its table."""
    if entry.uncompared:
        yield f"not compared with the best of its setting: {entry.uncompared}"
    if 0 < entry.n < most:
        yield f"n = {entry.n}"


def _letters(number: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def _without_path(sentence: str) -> tuple[str, str]:
    """Split off where the traceback is: it differs from cell to cell."""
    match = re.fullmatch(r"(.*?)( \(traceback in .*\))?", sentence)
    return (match[1], (match[2] or "").strip()) if match else (sentence, "")
