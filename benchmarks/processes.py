"""How cells could use a machine's cores, and how their processes could start: what ``alternatives`` compares."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import torch

from benchmarks.pairs import Work
from mosaic_bench.engine import preload


def side_by_side(works: Sequence[Work]) -> Work:
    """Each in a process and with a thread of its own, all at once."""

    def work() -> None:
        children = [_forked(each) for each in works]
        for child in children:
            _, status = os.waitpid(child, 0)
            if status:
                raise RuntimeError(f"a process ended with {status}")

    return work


def one_by_one(works: Sequence[Work]) -> Work:
    """One after another, each with as many threads as there are of them."""

    def work() -> None:
        torch.set_num_threads(len(works))
        for each in works:
            each()

    return work


def preloaded_process() -> None:
    """Start a process that has imported torch already, and wait for its end."""
    os.waitpid(_forked(lambda: None), 0)


def fresh_process() -> None:
    """Start a process that has to import what a cell needs, and wait for its end."""
    subprocess.run([sys.executable, "-c", f"import {preload.__name__}"], check=True)


def _forked(work: Work) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child
