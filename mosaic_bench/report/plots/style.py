"""How figures look: sizes for two-column papers, and one colour, marker and dash per algorithm everywhere."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from mosaic_bench.suite.labels import head

COLUMN = 3.3
"""Width of one column of a two-column paper, inches."""

PAGE = 7.0
"""Width of the page, inches."""

_POINTS = 8  # of labels and titles; ticks and legends are one less
_SETTINGS: dict[Any, Any] = {
    "font.size": _POINTS,
    "axes.labelsize": _POINTS,
    "axes.titlesize": _POINTS,
    "figure.titlesize": _POINTS,
    "xtick.labelsize": _POINTS - 1,
    "ytick.labelsize": _POINTS - 1,
    "legend.fontsize": _POINTS - 1,
    "legend.title_fontsize": _POINTS - 1,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "grid.linewidth": 0.4,
    "pdf.fonttype": 42,  # outlines that publishers accept, rather than type 3
}


@dataclass(frozen=True)
class Look:
    """What tells an algorithm from the others, in colour and in grey.

    Attributes:
        colour: hexadecimal.
        marker, dash: of matplotlib.
    """

    colour: str
    marker: str
    dash: Any


_DASHED, _DOTTED, _MIXED = (0.0, (4.0, 1.5)), (0.0, (1.0, 1.2)), (0.0, (4.0, 1.5, 1.0, 1.5))
_LONG = (0.0, (8.0, 2.0))

# Colours of Okabe and Ito, and of Tol's muted scheme: both were chosen for colour-blind readers.
KNOWN = {
    "mosaic": Look("#D55E00", "X", "-"),
    "fedavg": Look("#000000", "o", "-"),
    "local": Look("#888888", "x", _DOTTED),
    "fedprox": Look("#56B4E9", "s", _DASHED),
    "feddf": Look("#0072B2", "D", "-"),
    "feddf-data-free": Look("#332288", "d", _MIXED),
    "fedgen": Look("#009E73", "^", _LONG),
    "fedftg": Look("#E69F00", "v", _DASHED),
    "dense": Look("#CC79A7", "P", _MIXED),
    "dense-rounds": Look("#882255", "p", _LONG),
}
"""Looks of the algorithms that come with this package."""

_OTHERS = [
    Look(colour, marker, dash)
    for (colour, dash), marker in product(
        zip(
            ("#44AA99", "#999933", "#AA4499", "#661100", "#6699CC"), (_LONG, "-", _DASHED, _MIXED, _DOTTED), strict=True
        ),
        ("<", ">", "h", "*"),
    )
]
_VARIANT_MARKERS = ("o", "s", "D", "^", "v", "P", "p", "<", ">", "h", "X", "d", "*", "x")
_VARIANT_DASHES = ("-", _DASHED, _DOTTED, _MIXED, _LONG)


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Return label -> look.

    An algorithm's look is fixed: known ones by the table, others by a hash of the name (the next free look where two
    meet). Variants of one algorithm (``dense(kd=1)``, ``dense(kd=2)``) share its colour.
    """
    labels = sorted(set(labels))
    names = sorted({head(label) for label in labels})
    found: dict[str, Look] = {name: KNOWN[name] for name in names if name in KNOWN}
    for name in names:
        if name not in found:
            start = zlib.crc32(name.encode())
            candidates = [_OTHERS[(start + step) % len(_OTHERS)] for step in range(len(_OTHERS))]
            found[name] = next((look for look in candidates if look not in found.values()), candidates[0])
    return {label: _variant(found[head(label)], label, labels) for label in labels}


def _variant(look: Look, label: str, labels: list[str]) -> Look:
    """The look itself for the first variant; the same colour with other markers and dashes for the rest."""
    number = [each for each in labels if head(each) == head(label)].index(label)
    if number == 0:
        return look
    markers = [marker for marker in _VARIANT_MARKERS if marker != look.marker]
    dashes = [dash for dash in _VARIANT_DASHES if dash != look.dash]
    return Look(look.colour, markers[(number - 1) % len(markers)], dashes[(number - 1) % len(dashes)])


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw inside the block in the style of papers; settings of the caller come back afterwards."""
    import matplotlib
    import seaborn

    with seaborn.axes_style("ticks"), matplotlib.rc_context(_SETTINGS):
        yield
