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
    shaded = dict(entries)
    refusals: dict[str, None] = {}
    for contest in contests(layout, entries):
        worse, reasons = _verdicts(study, layout, contest, over)
        if len(reasons) == len(contest.places) - 1:
            refusals |= dict.fromkeys(reasons.values())
            continue
        for place in contest.places:
            shown = place not in worse and place not in reasons
            shaded[place] = replace(entries[place], shaded=shown, uncompared=reasons.get(place, ""))
    meaning = f"Shaded: not significantly worse than the best of its setting ({_HOW[over]})."
    unshaded = f" No shading where it is not supported: {'; '.join(refusals)}." if refusals else ""
    return shaded, meaning + unshaded if any(e.shaded for e in shaded.values()) else f"Nothing is shaded.{unshaded}"


class _Unsupported(Exception):  # noqa: N818 - a sentence, not a fault
    """The results do not support a comparison."""


def _verdicts(study: Study, layout: Layout, contest: Contest, over: str) -> tuple[set[Place], dict[Place, str]]:
    """Return who is significantly worse than the best of a contest, and why others support no verdict."""
    best = max(contest.eligible, key=contest.eligible.__getitem__)
    compare = _paired_by(study, over)
    pairs: dict[Pair, Comparison] = {}
    reasons: dict[Place, str] = {}
    for pair in combinations([best, *(place for place in contest.places if place != best)], 2):
        try:
            compared = compare(layout.places[pair[0]], layout.places[pair[1]])
            if compared.smallest > LEVEL:  # by its n alone, whatever the outcome: it needs no share of the level
                raise _Unsupported(f"{compared.basis} can never reach {_PERCENT}")
            pairs[pair] = compared
        except _Unsupported as error:
            if pair[0] == best:
                reasons[pair[1]] = str(error)
    corrected = dict(zip(pairs, holm([compared.p for compared in pairs.values()]), strict=True))
    with_best = {pair[1]: pair for pair in pairs if pair[0] == best}
    for place, pair in with_best.items():
        if _is_powerless(pairs, pair):
            reasons[place] = f"{len(pairs)} comparisons over {pairs[pair].basis} can never reach {_PERCENT}"
    # The difference on what both have: the best mean may be over other seeds too.
    worse = {place for place, pair in with_best.items() if corrected[pair] <= LEVEL and pairs[pair].difference > 0}
    return worse, reasons


def _is_powerless(pairs: Mapping[Pair, Comparison], pair: Pair) -> bool:
    """Whether a pair could not have been significant beside the others, whatever came out of it."""
    best_case = [compared.smallest if other == pair else compared.p for other, compared in pairs.items()]
    return bool(holm(best_case)[list(pairs).index(pair)] > LEVEL)


def _paired_by(study: Study, over: str) -> Callable[[Sequence[int], Sequence[int]], Comparison]:
    """Return what compares two lists of cells on the seeds that both have; it raises ``_Unsupported``."""
    values = study.cells["value"].to_numpy()
    correct = cache(lambda number: _correct(study, number))

    def compare(first: Sequence[int], second: Sequence[int]) -> Comparison:
        by_seed = study.by_seed(first), study.by_seed(second)
        common = [seed for seed in by_seed[0] if seed in by_seed[1]]
        if not common:
            raise _Unsupported("methods share no seed")
        ours, theirs = ([cells[seed] for seed in common] for cells in by_seed)
        if over == "seeds":
            return paired_over_seeds(values[ours], values[theirs])
        right, others = (np.stack([correct(number) for number in cells]) for cells in (ours, theirs))
        if right.shape != others.shape:
            raise _Unsupported("methods were tested on different images")
        return paired_over_images(right, others)

    return compare


def _correct(study: Study, number: int) -> np.ndarray:
    """Which test images a cell got right, by the predictor of the headline."""
    headline = study.report.headline
    predictor, _, split = headline.metric.removeprefix("acc/").partition("@")
    if split != "test" or headline.rule != "last":
        raise _Unsupported("per-image correctness is kept of the last step on test images only")
    found = study.results[number].correct(predictor)
    if found is None:
        raise _Unsupported("per-image correctness is missing")
    return found
