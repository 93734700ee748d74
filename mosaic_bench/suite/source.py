"""YAML 1.2 files with ``extends``, read together with the file and line of every key."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mosaic_bench.suite.errors import Path, SuiteError
from mosaic_bench.suite.schema import INSTEAD_OF, long_form

# Sections that name one thing with its parameters: a later file replaces them instead of merging two names into one.
_REPLACED_WHOLE = {"algorithm", "dataset", "partition"}


@dataclass
class Source:
    """A suite, or one cell of it, as a plain document, and where each part of it was written.

    Attributes:
        data: the document.
        lines: path inside the document -> ``file:line``, or the option that set it.
    """

    data: dict[str, Any]
    lines: dict[Path, str]

    def where(self, path: Path) -> str:
        """Return where ``path``, or its nearest written ancestor, stands."""
        return nearest(self.lines, path)

    def lines_below(self, path: Path) -> dict[Path, str]:
        """Return where ``path`` and its parts stand, by their paths relative to it."""
        below = {p[len(path) :]: line for p, line in self.lines.items() if p[: len(path)] == path}
        return {(): self.where(path), **below}

    def copy(self) -> Source:
        """Return a copy that shares nothing with this one."""
        return Source(copy.deepcopy(self.data), dict(self.lines))

    def put(self, path: Path, value: Any, lines: Mapping[Path, str]) -> None:
        """Set one part, and drop what it stands instead of (``local.epochs`` replaces ``local.steps``).

        Mappings above it are created, and short forms such as ``dataset: fmnist`` written out, as needed.

        Args:
            path: names from the top of the document.
            value: copied.
            lines: where the value and its parts stand, by paths relative to it.

        Raises:
            SuiteError: something above it is not a mapping.
        """
        self._make_way(path)
        self._place(path, value, lines)

    def merge(self, later: Source, path: Path = ()) -> None:
        """Merge another document below ``path``: mappings merge, anything else is replaced."""
        into, new = _at(self.data, path), _at(later.data, path)
        for key in new:
            self._make_way((*path, key))
        for key, value in new.items():
            below = (*path, key)
            both_mappings = isinstance(value, dict) and isinstance(into.get(key), dict)
            if both_mappings and not (len(below) == 1 and key in _REPLACED_WHOLE):
                self.lines[below] = later.where(below)
                self.merge(later, below)
            else:
                self._place(below, value, later.lines_below(below))

    def _make_way(self, path: Path) -> None:
        other = INSTEAD_OF.get(path)
        if other is None:
            return
        section = self.data.get(str(other[0]))
        if isinstance(section, dict) and section.pop(other[-1], None) is not None:
            self._forget(other)

    def _place(self, path: Path, value: Any, lines: Mapping[Path, str]) -> None:
        target = self.data
        for depth, part in enumerate(path[:-1], start=1):
            inner = target.get(str(part))
            if depth == 1:
                inner = long_form(str(part), inner)
            if inner is None:
                inner = {}
            if not isinstance(inner, dict):
                raise SuiteError(f"{lines[()]}: '{'.'.join(map(str, path[:depth]))}' is not a section")
            target[str(part)] = inner
            target = inner
            self.lines.setdefault(path[:depth], lines[()])
        target[path[-1]] = copy.deepcopy(value)  # type: ignore[index]  # keys of a YAML file need not be text
        self._forget(path)
        self.lines.update({path + below: line for below, line in lines.items()})

    def _forget(self, path: Path) -> None:
        self.lines = {p: line for p, line in self.lines.items() if p[: len(path)] != path}


def nearest(lines: Mapping[Path, str], path: Path) -> str:
    """Return where ``path``, or its nearest written ancestor, stands."""
    while path and path not in lines:
        path = path[:-1]
    return lines[path]


def read_source(file: FilePath) -> Source:
    """Read a suite file and the files it extends; what is nearer to the suite wins.

    Raises:
        SuiteError: missing or unreadable file, YAML that does not parse, or files that extend each other in a circle.
    """
    return _read(file, ())


def _read(file: FilePath, above: tuple[FilePath, ...]) -> Source:
    own = _parse(file)
    where = own.where(("extends",))
    parents = own.data.pop("extends", [])
    merged = Source({}, {(): f"{file}:1"})
    chain = (*above, file.resolve())
    for parent in [parents] if isinstance(parents, str) else parents if isinstance(parents, list) else [parents]:
        if not isinstance(parent, str):
            raise SuiteError(f"{where}: extends should be a file name or a list of them, got {parent!r}")
        extended = file.parent / parent
        if extended.resolve() in chain:
            raise SuiteError(
                f"{where}: extends goes in a circle: {' -> '.join(map(str, (*chain, extended.resolve())))}"
            )
        if not extended.is_file():
            raise SuiteError(f"{where}: extends: there is no file {extended}")
        merged.merge(_read(extended, chain))
    merged.merge(own)
    return merged


def _parse(file: FilePath) -> Source:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"{file}: cannot read the suite file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"{file}: not UTF-8 text") from error
    lines: dict[Path, str] = {(): f"{file}:1"}
    try:
        data = _load(text, file, lines)
    except (YAMLError, ValueError) as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = f":{mark.line + 1}" if mark else ""
        raise SuiteError(f"{file}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    except RecursionError as error:
        raise SuiteError(f"{file}: not a suite: an anchor contains itself") from error
    if not isinstance(data, dict):
        raise SuiteError(f"{file}:1: a suite is a mapping with at least 'suite' and 'grid'")
    return Source(data, lines)


def parse_value(text: str) -> Any:
    """Read the YAML of one value, such as stands on a command line.

    Raises:
        ValueError: it is not valid, or contains itself.
    """
    try:
        return _load(text, FilePath(), {})
    except (YAMLError, RecursionError) as error:
        raise ValueError(text) from error


def _load(text: str, file: FilePath, lines: dict[Path, str]) -> Any:
    """Read YAML, and note the line of every key. Dates and tagged numbers that are none raise ``ValueError``."""
    data = YAML(typ="safe", pure=True).load(text)
    _note_lines(YAML(typ="safe", pure=True).compose(text), (), file, lines)
    return data


def _note_lines(node: Node, path: Path, file: FilePath, lines: dict[Path, str]) -> None:
    if isinstance(node, MappingNode):
        children = [(key.value, key, value) for key, value in node.value if isinstance(key, ScalarNode)]
    elif isinstance(node, SequenceNode):
        children = [(index, value, value) for index, value in enumerate(node.value)]
    else:
        return
    for part, written, value in children:
        below = (*path, part)
        lines[below] = f"{file}:{written.start_mark.line + 1}"
        _note_lines(value, below, file, lines)


def _at(data: dict[str, Any], path: Path) -> dict[str, Any]:
    for part in path:
        data = data[str(part)]
    return data
