"""Digests of the source files that a result came from, and whether they are still the present ones."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mosaic_bench.store.cell_folder import CellFolder, State, Status

_PACKAGE = Path(__file__).resolve().parents[1]
_BESIDE = _PACKAGE.parent  # what the files of a cell are named from
_NUMERIC = ("data", "fed", "models", "engine/bench.py", "engine/evaluate.py")  # what numbers are computed by


def shown_state(folder: CellFolder, status: Status | None = None) -> State:
    """Return a cell's state, or stale for a finished one whose sources have changed; ``status`` where it is known.

    A cell that was run by an algorithm whose files are not on this machine is not judged.
    """
    state = (status or folder.status()).state
    return State.STALE if state.finished and sources_changed(folder) else state


def sources_changed(folder: CellFolder) -> bool:
    """True for a cell that began, however far it is, with sources that are no longer the present ones."""
    recorded = folder.environment().get("sources", {})
    files = [_BESIDE / name for name in recorded.get("files", [])]  # an absolute path stays what it is
    if not files or not all(file.is_file() for file in files):
        return False
    if recorded.get("text") == text_digest(files):
        return False  # nothing to parse
    return recorded.get("harness") != _harness_tree() or recorded.get("algorithm") != source_digest(files)


def describe_sources(files: Sequence[Path]) -> dict[str, Any]:
    """Return what ``env.json`` says of the sources: digests of algorithm and harness, and the algorithm's files.

    ``text`` digests the bytes of both. It is there because syntax trees take time, and differ from one Python to the
    next.
    """
    return {
        "algorithm": source_digest(files),
        "harness": _harness_tree(),
        "text": text_digest(files),
        "files": [_name(file) for file in files],
    }


def same_sources(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True where two descriptions differ by comments, docstrings and layout at most."""
    if one.get("text") is not None and one.get("text") == other.get("text"):
        return True
    return tree_digests(one) == tree_digests(other)


def tree_digests(sources: Mapping[str, Any]) -> list[str | None]:
    """Of a description, what comments, docstrings and layout do not change."""
    return [sources.get("algorithm"), sources.get("harness")]


def algorithm_files(file: Path) -> list[Path]:
    """Return an algorithm's file, and those of its own package that it imports, directly or through others."""
    found = [file.resolve()]
    for each in found:  # grows while it is read
        found += [module for module in _imports_within_package(each) if module not in found]
    return [found[0], *sorted(found[1:])]


def source_digest(files: Iterable[Path]) -> str:
    """Digest Python files by their syntax trees: comments, docstrings and layout do not count."""
    return _digest(_without_words(file, file.stat().st_mtime_ns).encode() for file in files)


def text_digest(files: Iterable[Path]) -> str:
    """Digest Python files and the harness byte by byte."""
    return _digest([_harness_text(), *(_bytes(file, file.stat().st_mtime_ns) for file in files)])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


@cache
def _harness_tree() -> str:
    return source_digest(_harness())


@cache
def _harness_text() -> bytes:
    return _digest(file.read_bytes() for file in _harness()).encode()


def _harness() -> list[Path]:
    """The parts of the harness that compute numbers.

    What only orders, saves and repeats steps is left out: its tests compare whole runs bit for bit.
    """
    found = [_PACKAGE / part for part in _NUMERIC]
    return sorted(file for each in found for file in ([each] if each.is_file() else each.rglob("*.py")))


@cache
def _bytes(file: Path, written: int) -> bytes:
    return file.read_bytes()


@cache
def _without_words(file: Path, written: int) -> str:
    """A file's code without comments, docstrings and layout; as it is when it does not parse."""
    source = _bytes(file, written).decode()
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _imports_within_package(file: Path) -> Iterator[Path]:
    package = file.parent
    while (package.parent / "__init__.py").exists():
        package = package.parent
    if not (package / "__init__.py").exists():
        return  # a file on its own
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        for name in _imported(node, file, package):
            module = package.parent.joinpath(*name.split("."))
            for candidate in (module.with_suffix(".py"), module / "__init__.py"):
                if name.split(".")[0] == package.name and candidate.is_file():
                    yield candidate


def _imported(node: ast.AST, file: Path, package: Path) -> Iterable[str]:
    """Dotted names that a statement imports, each of which may be a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = file.relative_to(package.parent).parts[: -node.level] if node.level else ()
    base = ".".join([*above, *([node.module] if node.module else [])])
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def _name(file: Path) -> str:
    """A file's path below the folder that holds the package, so that it is found on other machines; else the whole."""
    return file.relative_to(_BESIDE).as_posix() if file.is_relative_to(_BESIDE) else file.as_posix()
