"""Processor time of whole processes, and what to compare it with on a machine of unknown speed."""

import resource
import subprocess
import sys


def seconds_of(*arguments: str) -> float:
    """Seconds of processor time, user and system, of one run of Python with these arguments."""
    before = _children()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return _children() - before


def seconds_of_numpy() -> float:
    """Seconds in which Python starts and imports numpy, which loads files as a verb does: a machine's yardstick."""
    return seconds_of("-c", "import numpy")


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
