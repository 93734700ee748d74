"""What a suite file got wrong, as sentences with file and line."""

from __future__ import annotations

import re
import reprlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mosaic_bench.errors import UserError, did_you_mean

Path = tuple[str | int, ...]


class SuiteError(UserError):
    """A suite file, or an option that changes it, is wrong."""


class LocatedError(ValueError):
    """Raised by a validator that looks at several sections at once: the fault lies at ``path`` below its own."""

    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path


def dotted(path: Path) -> str:
    """Write a path the way a user types it: ``grid.partition[1].dirichlet.alpha``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def explain(error: ValidationError, model: type[BaseModel], where: Callable[[Path], str]) -> list[str]:
    """Turn pydantic's findings into one line each: ``file:line: key should be ..., got ...``.

    ``where`` maps a path inside the validated document to the start of the line.
    """
    findings: defaultdict[Path, list[Mapping[str, Any]]] = defaultdict(list)
    known: dict[Path, list[str]] = {}
    for finding in error.errors(include_url=False):
        path, names = _locate(finding, model)
        findings[path].append(finding)
        known[path] = names
    return [
        f"{where(path)}: {_sentence(path, at_path, known[path])}"
        for path, at_path in findings.items()
        if not _only_a_member_of_a_union(path, at_path, findings)
    ]


def _locate(finding: Mapping[str, Any], model: type[BaseModel]) -> tuple[Path, list[str]]:
    """Return the path of a finding in the user's document, and the names that its last part could have had.

    Pydantic puts the names of a union's members into the path; they are left out.
    """
    location = finding["loc"]
    path: list[str | int] = []
    sections, owners = [model], [model]
    for index, part in enumerate(location):
        is_unknown_key = finding["type"] == "extra_forbidden" and index == len(location) - 1
        if isinstance(part, str) and not is_unknown_key and part not in _fields(sections):
            members = [section for section in sections if section.__name__ == part]
            if members or "[" in part or part in {"str", "int", "float", "bool"}:
                sections = members
                continue
        path.append(part)
        owners = sections
        if isinstance(part, str):
            sections = _fields(sections).get(part, [])
    located = finding["ctx"]["error"] if finding["type"] == "value_error" else None
    return (*path, *getattr(located, "path", ())), list(_fields(owners))


def _fields(sections: Sequence[type[BaseModel]]) -> dict[str, list[type[BaseModel]]]:
    """Names that suite files use in these sections, each with the sections that may stand under it."""
    return {
        field.alias or name: [
            t for t in _types_in(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)
        ]
        for section in sections
        for name, field in section.model_fields.items()
    }


def _types_in(annotation: Any) -> list[Any]:
    arguments = get_args(annotation)
    if not arguments:
        return [annotation]
    return [leaf for argument in arguments for leaf in _types_in(argument)]


def _only_a_member_of_a_union(path: Path, at_path: Sequence[Mapping[str, Any]], others: Iterable[Path]) -> bool:
    """True when another member of the union has the right shape, and what is wrong inside it is said already."""
    wrong_shape = all(finding["type"].endswith("_type") for finding in at_path)
    return wrong_shape and any(len(other) > len(path) and other[: len(path)] == path for other in others)


def _sentence(path: Path, findings: Sequence[Mapping[str, Any]], known: Sequence[str]) -> str:
    first, name = findings[0], dotted(path)
    if first["type"] == "extra_forbidden":
        return f"unknown key '{path[-1]}'{did_you_mean(str(path[-1]), known)}"
    if first["type"] == "invalid_key":
        return f"key {path[-1]!r} should be text; write it in quotes"
    if first["type"] == "missing":
        return f"'{name}' is required"
    if first["type"] == "value_error":
        return f"{name}: {first['ctx']['error']}" if path else str(first["ctx"]["error"])
    wanted = " or ".join(dict.fromkeys(_expected(finding["msg"]) for finding in findings))
    return f"{name} should be {wanted}, got {reprlib.repr(first['input'])}{_nearest(first)}"


def _nearest(finding: Mapping[str, Any]) -> str:
    """The word that was meant, where only some words are allowed and one is near."""
    if finding["type"] != "literal_error":
        return ""
    hint = did_you_mean(str(finding["input"]), re.findall("'([^']*)'", finding["ctx"]["expected"]))
    return hint if "did you mean" in hint else ""


def _expected(message: str) -> str:
    message = re.sub("a valid dictionary.*", "a mapping", message)  # users write YAML, not Python
    message = message.replace("match pattern", "be of the form")
    return re.sub("^(Input|String) should be ", "", message)
