"""Which methods of a setting are not significantly worse than its best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np

from mosaic_bench.report.contests import Contest, contests
from mosaic_bench.report.entry import Entry
from mosaic_bench.report.layout import Layout, Place
from mosaic_bench.report.statistics import LEVEL, Comparison, holm, paired_over_images, paired_over_seeds
from mosaic_bench.report.study import Study

Pair = tuple[Place, Place]

_PERCENT = f"{100 * LEVEL:g} %"
_CORRECTED = f"Holm's correction over all pairs of the setting, {_PERCENT}"
_HOW = {
    "seeds": f"exact paired test over seeds, {_CORRECTED}",
    "images": f"paired bootstrap over test images of the same runs, {_CORRECTED}; it says nothing about other seeds",
}


def not_worse(
    study: Study, layout: Layout, entries: Mapping[Place, Entry], over: str
) -> tuple[dict[Place, Entry], str]:
    """Shade every entry that is not significantly worse than the best of its setting.

    The best is chosen by the results themselves, so each could have been: the correction counts all pairs.

    Args:
        study, layout, entries: the table so far.
        over: what the comparisons are paired by, seeds or images.

    Returns:
        The entries, and one sentence: what the shade means, or why there is none. In a setting where others can be
        compared, an entry that can't be says why itself.
    """
    judged = dict(entries)
    refusals: dict[str, None] = {}
    for contest in contests(layout, entries):
        if len(contest.places) < 2:
            continue
        best = max(contest.whole, key=lambda place: entries[place].mean or 0.0)
        worse, reasons = _judged(study, layout, contest, best, over)
        if len(reasons) == len(contest.places) - 1:
            refusals |= dict.fromkeys(reasons.values())
            continue
        for place in contest.places:
            shaded = place not in worse and place not in reasons
            judged[place] = replace(entries[place], shaded=shaded, uncompared=reasons.get(place, ""))
    meaning = f"Shaded: not significantly worse than the best of its setting ({_HOW[over]})."
    unshaded = f" No shading where it is not supported: {'; '.join(refusals)}." if refusals else ""
    return judged, meaning + unshaded if any(e.shaded for e in judged.values()) else f"Nothing is shaded.{unshaded}"


class _Unsupported(Exception):  # noqa: N818 - a sentence, not a fault
    """The results do not support a comparison."""


def _judged(
    study: Study, layout: Layout, contest: Contest, best: Place, over: str
) -> tuple[set[Place], dict[Place, str]]:
    """Return who is significantly worse than the best of a contest, and why others support no verdict."""
    compare = _comparison(study, over)
    pairs, reasons = {}, {}
    for pair in combinations([best, *(place for place in contest.places if place != best)], 2):
        try:
            pairs[pair] = compare(layout.places[pair[0]], layout.places[pair[1]])
        except _Unsupported as error:
            if pair[0] == best:
                reasons[pair[1]] = str(error)
    corrected = dict(zip(pairs, holm([pair.p for pair in pairs.values()]), strict=True))
    for pair, compared in pairs.items():
        if pair[0] == best and _is_powerless(pairs, pair):
            made, n = _count(len(pairs), "comparison"), _count(compared.n, over[:-1])
            reasons[pair[1]] = f"{made} over {n} can never reach {_PERCENT}"
    # The difference on what both have: the best mean may be over other seeds too.
    worse = {pair[1] for pair, p in corrected.items() if pair[0] == best and p <= LEVEL and pairs[pair].difference > 0}
    return worse, reasons


def _is_powerless(pairs: Mapping[Pair, Comparison], pair: Pair) -> bool:
    """Whether a pair could not have been significant beside the others, whatever came out of it."""
    best_case = [each.smallest if other == pair else each.p for other, each in pairs.items()]
    return bool(holm(best_case)[list(pairs).index(pair)] > LEVEL)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _comparison(study: Study, over: str) -> Callable[[Sequence[int], Sequence[int]], Comparison]:
    """Return what compares two lists of cells, on the seeds that both have; it raises ``_Unsupported``."""
    values = study.cells["value"].to_numpy()
    predictor, _, split = study.report.headline.metric.removeprefix("acc/").partition("@")
    correct = cache(lambda number: study.results[number].correct(predictor))

    def compare(first: Sequence[int], second: Sequence[int]) -> Comparison:
        seeds = [
            {
                study.results[number].coordinates.get("seed", ""): number
                for number in cells
                if not np.isnan(values[number])
            }
            for cells in (first, second)
        ]
        common = [seed for seed in seeds[0] if seed in seeds[1]]
        if not common:
            raise _Unsupported("methods share no seed")
        numbers = [[by_seed[seed] for seed in common] for by_seed in seeds]
        if over == "seeds":
            return paired_over_seeds(values[numbers[0]], values[numbers[1]])
        if split != "test" or study.report.headline.rule != "last":
            raise _Unsupported("per-image correctness is kept of the last step on test images only")
        answers = [[correct(number) for number in chosen] for chosen in numbers]
        if any(row is None for rows in answers for row in rows):
            raise _Unsupported("per-image correctness is missing")
        ours, theirs = (np.stack([row for row in rows if row is not None]) for rows in answers)
        if ours.shape != theirs.shape:
            raise _Unsupported("methods were tested on different images")
        return paired_over_images(ours, theirs)

    return compare
