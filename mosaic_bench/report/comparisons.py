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
        The entries, and one sentence: what the shade means, or why there is none.
    """
    shaded = dict(entries)
    refusals: dict[str, None] = {}
    for contest in _contests(entries):
        best = max(contest, key=lambda place: entries[place].mean or 0.0)
        others = [place for place in contest if place != best]
        try:
            compared = [_compare(study, layout.places[best], layout.places[place], over) for place in others]
            _check_power(compared)
        except _Unsupported as error:
            refusals[str(error)] = None
            continue
        corrected = holm([comparison.p for comparison in compared])
        for place, p in zip((best, *others), (1.0, *corrected), strict=True):
            shaded[place] = replace(entries[place], shaded=bool(p > LEVEL))
    meaning = f"Shaded: not significantly worse than the best of the column ({_HOW[over]})."
    unshaded = f" No shading where it is not supported: {'; '.join(refusals)}." if refusals else ""
    return shaded, meaning + unshaded if any(e.shaded for e in shaded.values()) else f"Nothing is shaded.{unshaded}"


class _Unsupported(Exception):  # noqa: N818 - a sentence, not a fault
    """The results do not support a comparison."""


def _contests(entries: Mapping[Place, Entry]) -> list[list[Place]]:
    """Places that compete: the same column, and rows that share all but their last label."""
    contests: dict[tuple[Label, Label], list[Place]] = defaultdict(list)
    for (row, column), entry in entries.items():
        if entry.mean is not None:
            contests[row[:-1], column].append((row, column))
    return [places for places in contests.values() if len(places) > 1]


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


def _check_power(compared: Sequence[Comparison]) -> None:
    """Refuse a column in which no outcome could have been significant."""
    if compared and min(c.smallest for c in compared) * len(compared) > LEVEL:
        n = max(c.n for c in compared)
        raise _Unsupported(f"{len(compared)} comparisons over {n} seeds can never reach {_PERCENT}")
