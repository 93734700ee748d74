"""`--help` and `status` answer in half a second. Run with `pytest tests/bench -s`."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "results" / "reference" / "mosaic"


@pytest.mark.parametrize("words", [["--help"], ["status", "mosaic", "--results", str(RESULTS)]], ids=["help", "status"])
def test_what_needs_no_torch_answers_at_once(words: list[str]) -> None:
    cpu = min(_seconds(words) for _ in range(5))  # the first may have to compile; a machine's speed goes up and down
    print(f"{words[0]}: {cpu:.2f} s of one core")
    assert cpu < 0.8  # the aim is 0.5 on an idle core (docs/performance.md); slower machines run this too


def _seconds(words: list[str]) -> float:
    before = _seconds_of_children()
    subprocess.run([sys.executable, "-m", "mosaic_bench", *words], capture_output=True, check=True)
    return _seconds_of_children() - before


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
