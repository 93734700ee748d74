"""Prefixes on disk: states after steps that several cells share, made once and kept within a bound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from mosaic_bench.engine.checkpoint import load_checkpoint, save_checkpoint
from mosaic_bench.engine.state import digest

_PATIENCE = 1.0  # seconds between looks at whether to give up waiting


class DamagedPrefixError(Exception):
    """A prefix that can't be read, or whose content is not what was written."""


class PrefixStore:
    """A folder of prefixes, shared by the processes and machines that run one suite.

    Args:
        path: the folder.
        limit: bytes that the prefixes may take; those used longest ago are deleted first.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit

    def load(self, key: str, device: torch.device) -> dict[str, Any] | None:
        """Read a prefix, or return None where there is none.

        Raises:
            DamagedPrefixError: it is truncated or altered, or something else lies in its place; it is removed.
        """
        file = self._file(key)
        stored = load_checkpoint(file, device)
        if stored is None and not file.exists():
            return None
        if stored is None or stored.get("digest") != digest(stored.get("content")):
            file.unlink(missing_ok=True)
            raise DamagedPrefixError(file)
        with suppress(FileNotFoundError):  # deleted by another process meanwhile
            os.utime(file)
        content: dict[str, Any] = stored["content"]
        return content

    def save(self, key: str, content: dict[str, Any]) -> bool:
        """Write a prefix whole or not at all, then delete the oldest above the limit; False when it is too large.

        The caller holds the claim. Its bytes are checked when it is read, so that no cell builds on damaged ones.
        """
        file = self._file(key)
        for left in self._path.glob(f".{file.name}.*"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        if not save_checkpoint(file, {"content": content, "digest": digest(content)}, self._limit):
            return False
        self._trim()
        return file.exists()

    @contextmanager
    def claim(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Be the only one who makes this prefix, for the length of the block, or until this process ends.

        Where the file system knows no locks, several may make it at a time: work done twice, with one outcome.

        Args:
            key: of the prefix.
            waiting: called about every second while another holds it; may raise to give up.
        """
        self._path.mkdir(exist_ok=True)
        lock = FileLock(self._path / f".{key}.lock")
        while not lock.is_locked:
            try:
                lock.acquire(timeout=_PATIENCE)
            except Timeout:
                waiting()
            except (OSError, NotImplementedError):  # no locks here: nobody can be made to wait
                break
        try:
            yield
        finally:
            lock.release()

    def _file(self, key: str) -> Path:
        return self._path / f"{key}.pt"

    def _trim(self) -> None:
        """Delete what was used longest ago until the rest fits."""
        sizes: dict[Path, tuple[int, int]] = {}
        for file in self._path.glob("*.pt"):
            try:
                stat = file.stat()
            except FileNotFoundError:  # deleted by another process meanwhile
                continue
            sizes[file] = (stat.st_mtime_ns, stat.st_size)
        total = 0
        for file, (_, size) in sorted(sizes.items(), key=lambda item: item[1], reverse=True):
            total += size
            if total > self._limit:
                file.unlink(missing_ok=True)
