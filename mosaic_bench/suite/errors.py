"""What a suite file got wrong, as sentences with file and line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mosaic_bench.errors import UserError

Path = tuple[str | int, ...]


class SuiteError(UserError):
    """A suite file, or an option that changes it, is wrong."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` or the list of known names, ready to append to a message."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(known)}" if known else ""


def dotted(path: Path) -> str:
    """Write a path the way a user types it: ``grid.partition[1].dirichlet.alpha``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def explain(error: ValidationError, model: type[BaseModel], where: Callable[[Path], str]) -> list[str]:
    """Turn pydantic's findings into one line each: ``file:line: key: what was expected``.

    ``where`` maps a path inside the validated document to the start of the line.
    """
    lines = []
    for finding in error.errors(include_url=False):
        path = tuple(part for part in finding["loc"] if not _is_union_tag(part))
        lines.append(f"{where(path)}: {_sentence(dict(finding), path, model)}")
    return lines


def _is_union_tag(part: str | int) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool"} or part[:1].isupper())


def _sentence(finding: dict[str, Any], path: Path, model: type[BaseModel]) -> str:
    name = str(path[-1]) if path else ""
    if finding["type"] == "extra_forbidden":
        return f"unknown key '{name}'{did_you_mean(name, _fields_at(model, path[:-1]))}"
    if finding["type"] == "missing":
        return f"'{dotted(path)}' is required"
    if finding["type"] == "value_error":
        return f"{dotted(path)}: {finding['ctx']['error']}" if path else str(finding["ctx"]["error"])
    return f"{dotted(path)}: {finding['msg']}, got {finding['input']!r}"


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Names of the fields that are allowed at ``path`` below ``model``."""
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        if field is None:
            return []
        nested = [a for a in _types_in(field.annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _types_in(annotation: Any) -> list[Any]:
    arguments = get_args(annotation)
    if not arguments:
        return [annotation]
    return [leaf for argument in arguments for leaf in _types_in(argument)]
