"""Which axis of a grid an axis of a table belongs to."""

from __future__ import annotations

from collections.abc import Iterable


def owner(axis: str, axes: Iterable[str]) -> str | None:
    """Return the axis of the grid that a table's axis shows: itself, or ``models`` for ``models.extract``."""
    known = set(axes)
    return next((name for name in (axis, axis.rpartition(".")[0]) if name in known), None)
