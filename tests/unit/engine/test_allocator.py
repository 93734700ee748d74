"""A cell's process keeps the memory it frees: allocating again doesn't wait for the system to clear pages."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from mosaic_bench.engine.allocator import keep_freed_memory
    keep_freed_memory()

def together():
    return [np.ones(2**21) for _ in range(3)]  # three times 16 MiB

for _ in range(5):
    together()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    together()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10)
"""


def _faults(how: str) -> float:
    """Page faults for every time that three arrays are made and freed."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
    return float(ended.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_memory_that_was_freed_is_used_again_without_page_faults() -> None:
    assert _faults("keep") < 50
    assert _faults("as it starts") > 1000, "the default has changed: is keep_freed_memory still of use?"
