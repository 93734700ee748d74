"""Which methods of a column are not significantly worse than its best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mosaic_bench.report.entry import Entry
from mosaic_bench.report.layout import Label, Layout, Place
from mosaic_bench.report.statistics import LEVEL, Comparison, holm, paired_over_images, paired_over_seeds
from mosaic_bench.report.study import Study

_PERCENT = f"{100 * LEVEL:g} %"
_HOW = {
    "seeds": f"exact paired test over seeds, Holm's correction within the column, {_PERCENT}",
    "images": f"paired bootstrap over test images of the same runs, Holm's correction within the column, {_PERCENT}; "
    "it says nothing about other seeds",
}


def not_worse(
    study: Study, layout: Layout, entries: Mapping[Place, Entry], over: str
) -> tuple[dict[Place, Entry], str]:
    """Shade every entry that is not significantly worse than the best of its column.

    Args:
        study, layout, entries: the table so far.
        over: what the comparisons are paired by, seeds or images.

    Returns:
        The entries, and one sentence: what the shade means, or why there is none. In a column where others can be
        compared, an entry that can't be says why itself.
    """
    judged = dict(entries)
    refusals: dict[str, None] = {}
    for contest in _contests(entries):
        best = max(contest, key=lambda place: entries[place].mean or 0.0)
        others = [place for place in contest if place != best]
        pairs, reasons = _compared(study, {place: layout.places[place] for place in others}, layout.places[best], over)
        if len(reasons) == len(others):
            refusals |= dict.fromkeys(reasons.values())
            continue
        corrected = holm([pair.p for pair in pairs.values()])
        worse = {place for (place, pair), p in zip(pairs.items(), corrected, strict=True) if _is_worse(pair, p)}
        for place in contest:
            shaded = place not in worse and place not in reasons
            judged[place] = replace(entries[place], shaded=shaded, uncompared=reasons.get(place, ""))
    meaning = f"Shaded: not significantly worse than the best of the column ({_HOW[over]})."
    unshaded = f" No shading where it is not supported: {'; '.join(refusals)}." if refusals else ""
    return judged, meaning + unshaded if any(e.shaded for e in judged.values()) else f"Nothing is shaded.{unshaded}"


class _Unsupported(Exception):  # noqa: N818 - a sentence, not a fault
    """The results do not support a comparison."""


def _contests(entries: Mapping[Place, Entry]) -> list[list[Place]]:
    """Places that compete: the same column, and rows that share all but their last label."""
    contests: dict[tuple[Label, Label], list[Place]] = defaultdict(list)
    for (row, column), entry in entries.items():
        if entry.mean is not None:
            contests[row[:-1], column].append((row, column))
    return [places for places in contests.values() if len(places) > 1]


def _compared(
    study: Study, others: Mapping[Place, Sequence[int]], best: Sequence[int], over: str
) -> tuple[dict[Place, Comparison], dict[Place, str]]:
    """Compare the cells of the best with those of others; a reason for each pair that supports no verdict."""
    pairs, reasons = {}, {}
    for place, numbers in others.items():
        try:
            pairs[place] = _compare(study, best, numbers, over)
        except _Unsupported as error:
            reasons[place] = str(error)
    for place in _powerless(pairs):
        made, n = _count(len(pairs), "comparison"), _count(pairs[place].n, over[:-1])
        reasons[place] = f"{made} over {n} can never reach {_PERCENT}"
    return pairs, reasons


def _powerless(pairs: Mapping[Place, Comparison]) -> list[Place]:
    """Those that could not have been significant beside the others, whatever came out of them."""
    p = [pair.p for pair in pairs.values()]
    return [
        place
        for number, (place, pair) in enumerate(pairs.items())
        if holm([*p[:number], pair.smallest, *p[number + 1 :]])[number] > LEVEL
    ]


def _is_worse(pair: Comparison, p: float) -> bool:
    """Whether the second is worse by more than chance, on what both have: the best mean may be over other seeds too."""
    return bool(p <= LEVEL and pair.difference > 0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _compare(study: Study, first: Sequence[int], second: Sequence[int], over: str) -> Comparison:
    values = study.cells["value"].to_numpy()
    seeds = [
        {study.results[number].coordinates.get("seed", ""): number for number in cells if not np.isnan(values[number])}
        for cells in (first, second)
    ]
    common = [seed for seed in seeds[0] if seed in seeds[1]]
    if not common:
        raise _Unsupported("methods share no seed")
    numbers = [[by_seed[seed] for seed in common] for by_seed in seeds]
    if over == "seeds":
        return paired_over_seeds(values[numbers[0]], values[numbers[1]])
    predictor, _, split = study.report.headline.metric.removeprefix("acc/").partition("@")
    if split != "test" or study.report.headline.rule != "last":
        raise _Unsupported("per-image correctness is kept of the last step on test images only")
    correct = [[study.results[number].correct(predictor) for number in chosen] for chosen in numbers]
    if any(row is None for rows in correct for row in rows):
        raise _Unsupported("per-image correctness is missing")
    ours, theirs = (np.stack([row for row in rows if row is not None]) for rows in correct)
    if ours.shape != theirs.shape:
        raise _Unsupported("methods were tested on different images")
    return paired_over_images(ours, theirs)
