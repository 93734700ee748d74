"""Who may write in a cell's folder: one process at a time, on one machine or on many that share the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mosaic_bench.store.atomic import replace_file

HEARTBEAT = 2.0
"""Seconds between two beats of an owner."""


class ClaimLost(Exception):  # noqa: N818 - named after what it reports
    """Another process took the cell over; nothing may be written to it any more."""


class Pulse(NamedTuple):
    """What others see of a claim.

    Attributes:
        owner: HOST-MACHINE.BOOT-PROCESS-TOKEN.
        beats: heartbeats so far.
        peak_bytes: the largest memory that the owner had used at its last beat.
    """

    owner: str
    beats: int
    peak_bytes: int

    @property
    def where(self) -> str:
        """Host and process, for people."""
        host, process = _host_and_process(self.owner)
        return f"{host.rpartition('-')[0]}, process {process}"

    @property
    def dead(self) -> bool:
        """True when the owner ran on this machine and is gone, or did before a reboot; of others nothing is known."""
        host, process = _host_and_process(self.owner)
        machine, _, boot = host.rpartition(".")
        our_machine, _, our_boot = _host().rpartition(".")
        if machine != our_machine or not process.isdecimal():
            return False
        return boot != our_boot or not _alive(int(process))


class Claim:
    """The right to write one cell: a folder ``claim/OWNER`` in the cell's, whose name says whose right it is.

    Each change is one rename, which any shared file system does for one contender only, so no locks are needed:

    * a free cell is taken by renaming a prepared folder to ``claim``, which fails where one is that is not empty;
    * a cell is taken over by renaming ``claim/OLD`` to ``claim/OWN``, which fails once OLD does not hold it;
    * an owner writes files inside ``claim/OWN`` and renames them to where they belong. Who was suspended, lost the
      claim and woke up has no such folder any more, so there is no moment at which it could still do harm.
    """

    def __init__(self, cell: Path, owner: str) -> None:
        self._cell = cell
        self._folder = cell / "claim" / owner
        self._beats = 0

    @classmethod
    def take(cls, cell: Path, expired: Collection[str] = ()) -> Claim | None:
        """Claim a cell that is free, or whose owner is dead or one of ``expired``; None where another holds it."""
        claim, pulse = cls(cell, f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"), cls.pulse(cell)
        if pulse is None:
            claim._create()
        elif pulse.dead or pulse.owner in expired:
            with suppress(FileNotFoundError):  # another contender was faster
                claim._folder.with_name(pulse.owner).rename(claim._folder)
        if not claim._folder.is_dir():
            return None
        claim._clean()
        return claim

    @staticmethod
    def pulse(cell: Path) -> Pulse | None:
        """Return the sign of life of whoever holds a cell; None when it is free."""
        try:
            owner = min(os.listdir(cell / "claim"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        try:
            beats, peak = (cell / "claim" / owner / "beat").read_text(encoding="ascii").split()
            return Pulse(owner, int(beats), int(peak))
        except (OSError, ValueError):
            return Pulse(owner, 0, 0)

    @contextmanager
    def kept_alive(self, peak_bytes: Callable[[], int]) -> Iterator[None]:
        """Beat every ``HEARTBEAT`` seconds meanwhile, and release the claim at the end."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT if self._beats else 0):
                with suppress(OSError):
                    self._beat(peak_bytes())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.release()

    def release(self) -> None:
        """Let the cell go."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):  # another process may have it already
            self._folder.parent.rmdir()

    def verify(self) -> None:
        """Make sure that the cell is still claimed.

        Raises:
            ClaimLost: it was taken over.
        """
        if not self._folder.is_dir():
            raise ClaimLost(f"{self._cell} was taken over by another process")

    def replace(self, path: Path, write: Callable[[Path], None]) -> None:
        """Replace a file of the cell atomically, unless the claim is lost.

        Raises:
            ClaimLost: it was taken over; the file is as the new owner left it.
        """
        try:
            replace_file(path, write, self._folder)
        except FileNotFoundError:
            self.verify()
            raise

    def _create(self) -> None:
        prepared = self._cell / f".claim.{self._folder.name}"
        try:
            (prepared / self._folder.name).mkdir(parents=True)
            (prepared / self._folder.name / "beat").write_text(f"{0:>12} {0:>15}\n", encoding="ascii")
            prepared.rename(self._folder.parent)
        except OSError as error:
            shutil.rmtree(prepared, ignore_errors=True)
            # Not empty: another contender was faster. Not found: it has even cleaned up already.
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise

    def _clean(self) -> None:
        """Remove what the previous owner was writing, and what other contenders left."""
        for unfinished in self._folder.iterdir():
            if unfinished.name != "beat":
                unfinished.unlink(missing_ok=True)
        for prepared in self._cell.glob(".claim.*"):
            shutil.rmtree(prepared, ignore_errors=True)

    def _beat(self, peak_bytes: int) -> None:
        """Write in place, and only into a file that is there: a lost claim is not made again."""
        self._beats += 1
        with (self._folder / "beat").open("r+", encoding="ascii") as file:
            file.write(f"{self._beats:>12} {peak_bytes:>15}\n")
            file.flush()
            os.fsync(file.fileno())


def _host_and_process(owner: str) -> tuple[str, str]:
    host, _, process = owner.rpartition("-")[0].rpartition("-")
    return host, process


@cache
def _host() -> str:
    """Name this machine and its boot so that equal process numbers mean the same process.

    A container is a machine of its own, and so is each boot of a machine that has no id; macOS has neither an id nor a
    boot that can be read, so there the network card's number tells machines apart.
    """
    name, boot, space = platform.node() or "host", _text("/proc/sys/kernel/random/boot_id"), ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    machine = f"{name} {_text('/etc/machine-id') or boot or uuid.getnode()} {space}"
    return f"{name.replace('/', '_')}-{_short(machine)}.{_short(boot)}"


def _text(file: str) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that nobody has waited for yet is dead all the same
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
