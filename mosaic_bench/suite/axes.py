"""Axes of a grid, and the parameters inside their labels that tables may name as axes of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mosaic_bench.suite.labels import arguments
from mosaic_bench.suite.owner import owner
from mosaic_bench.suite.schema import ModelsSpec


def label_on(axis: str, coordinates: Mapping[str, str]) -> str:
    """Return where a cell stands on an axis, or on one parameter of it.

    ``partition.alpha`` of ``dirichlet(alpha=0.1)`` is ``alpha=0.1``; ``models.extract`` of ``cnn(extract=rolling)`` is
    ``rolling``. A label without that parameter stands for its default, or for itself.
    """
    if axis in coordinates:
        return coordinates[axis]
    name, _, parameter = axis.rpartition(".")
    given = dict(text.partition("=")[::2] for text in arguments(coordinates[name]))
    if parameter in given:
        value = given[parameter].removeprefix("(").removesuffix(")")
        return f"{parameter}={value}" if _is_number(value) else value
    if name == "models" and parameter in ModelsSpec.model_fields:
        default = ModelsSpec.model_fields[parameter].default
        return f"no {parameter}" if default is None else str(default)
    return coordinates[name]


def named(axis: str, label: str) -> str:
    """Name what would be a bare number or a yes: ``5`` of ``federation.clients`` is ``clients=5``."""
    bare = _is_number(label) or label in {"True", "False"}
    return f"{axis.rpartition('.')[2]}={label}" if bare else label


def indistinguishable(axis: str, labels: Iterable[str], shown: Iterable[str]) -> tuple[str, str] | None:
    """Return two labels of an axis that no axis among ``shown`` tells apart; None when all are told apart."""
    seen: dict[tuple[str, ...], str] = {}
    for label in labels:
        place = tuple(label_on(name, {axis: label}) for name in shown if owner(name, [axis]) is not None)
        if place in seen:
            return seen[place], label
        seen[place] = label
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
