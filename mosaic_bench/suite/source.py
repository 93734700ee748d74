"""YAML 1.2 files with ``extends``, read together with the file and line of every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from mosaic_bench.suite.errors import Path, SuiteError

# Sections that name one thing with its parameters: a later file replaces them instead of merging two names into one.
_REPLACED_WHOLE = {"algorithm", "dataset", "partition", "grid"}


@dataclass
class Source:
    """A suite document and where each part of it was written.

    Attributes:
        data: the merged document.
        lines: path inside the document -> ``file:line``.
    """

    data: dict[str, Any]
    lines: dict[Path, str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """Return ``file:line`` of the nearest written ancestor of ``path``."""
        return nearest(self.lines, path)

    def set(self, path: Path, value: Any, origin: str) -> None:
        """Set one key, creating the mappings above it; ``origin`` names it in messages."""
        target = self.data
        for part in path[:-1]:
            target = target.setdefault(str(part), {})
            if not isinstance(target, dict):
                raise SuiteError(f"{origin}: '{part}' is not a section")
        target[str(path[-1])] = value
        self.lines = {p: line for p, line in self.lines.items() if p[: len(path)] != path}
        self.lines[path] = origin


def nearest(lines: Mapping[Path, str], path: Path) -> str:
    """Return where ``path``, or its nearest written ancestor, stands."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, "suite")


def read_source(file: FilePath, _above: tuple[FilePath, ...] = ()) -> Source:
    """Read a suite file and the files it extends; what is nearer to the suite wins.

    Raises:
        SuiteError: missing or unreadable file, YAML that does not parse, or files that extend each other in a circle.
    """
    file = file.resolve() if _above else file
    if file.resolve() in _above:
        raise SuiteError(f"{file}: extends itself through {' -> '.join(str(f) for f in _above)}")
    own = _parse(file)
    parents = own.data.pop("extends", [])
    merged = Source({}, {(): f"{file}:1"})
    for parent in [parents] if isinstance(parents, str) else parents:
        if not isinstance(parent, str):
            raise SuiteError(f"{own.where(('extends',))}: extends: expected a file name, got {parent!r}")
        _merge(merged, read_source(file.parent / parent, (*_above, file.resolve())))
    _merge(merged, own)
    return merged


def _parse(file: FilePath) -> Source:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"{file}: cannot read the suite file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"{file}: not UTF-8 text") from error
    try:
        root = YAML(typ="safe", pure=True).compose(text)
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = f":{mark.line + 1}" if mark else ""
        raise SuiteError(f"{file}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(data, dict):
        raise SuiteError(f"{file}:1: a suite is a mapping with at least 'suite' and 'grid'")
    lines: dict[Path, str] = {(): f"{file}:1"}
    _note_lines(root, (), file, lines)
    return Source(data, lines)


def _note_lines(node: Node, path: Path, file: FilePath, lines: dict[Path, str]) -> None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = f"{file}:{key.start_mark.line + 1}"
            _note_lines(value, (*path, key.value), file, lines)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = f"{file}:{value.start_mark.line + 1}"
            _note_lines(value, (*path, index), file, lines)


def _merge(base: Source, later: Source, path: Path = ()) -> None:
    """Merge ``later`` into ``base`` below ``path``: mappings merge, anything else is replaced."""
    into, new = _at(base.data, path), _at(later.data, path)
    for key, value in new.items():
        below = (*path, key)
        together = isinstance(value, dict) and isinstance(into.get(key), dict)
        if together and not (len(below) == 1 and key in _REPLACED_WHOLE):
            _merge(base, later, below)
            continue
        into[key] = value
        base.lines = {p: line for p, line in base.lines.items() if p[: len(below)] != below}
        base.lines.update({p: line for p, line in later.lines.items() if p[: len(below)] == below})


def _at(data: dict[str, Any], path: Path) -> dict[str, Any]:
    for part in path:
        data = data[part]
    return data
