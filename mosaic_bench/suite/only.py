"""``--only``: a part of the grid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mosaic_bench.errors import did_you_mean
from mosaic_bench.suite.errors import SuiteError
from mosaic_bench.suite.grid import check_axes, same
from mosaic_bench.suite.labels import split_at_commas


def parse_only(only: Iterable[str], axes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """``["algorithm=fedavg,seed=0,1"]`` -> ``{"algorithm": ["fedavg"], "seed": ["0", "1"]}``, axes and their labels.

    A value that is a label means that one alone; otherwise it is a name, or a pattern, and means all that it fits.

    Args:
        only: what the user typed; values of one axis add up.
        axes: grid axis -> labels of its values.

    Raises:
        SuiteError: not of that form, an unknown axis, or a value that the axis does not have.
    """
    wanted: dict[str, list[str]] = {}
    axis: str | None = None
    for text in only:
        for part in split_at_commas(text):
            named = re.fullmatch(r"\s*([\w.]+)\s*=(.*)", part)
            axis, value = (named[1], named[2]) if named else (axis, part)
            if axis is None:
                raise SuiteError(f"--only {text}: expected axis=value, such as algorithm=fedavg,seed=0")
            check_axes([axis], axes, "--only")
            value, labels = value.strip(), axes[axis]
            meant = [value] if value in labels else [known for known in labels if same(value, known)]
            if not meant:
                raise SuiteError(f"--only: {axis} has no value '{value}'{did_you_mean(value, labels)}")
            wanted.setdefault(axis, []).extend(meant)
    return wanted


def select(cells: Sequence[Mapping[str, str]], only: Sequence[str], axes: Mapping[str, Sequence[str]]) -> list[bool]:
    """Tell for each cell, given by its coordinates, whether ``--only`` asks for it; an empty one asks for all.

    Raises:
        SuiteError: as ``parse_only``, or when it asks for none.
    """
    rule = parse_only(only, axes)
    wanted = [all(coordinates[axis] in labels for axis, labels in rule.items()) for coordinates in cells]
    if not any(wanted):
        raise SuiteError(f"--only {','.join(only)}: no cell of the suite matches")
    return wanted
