"""`--help` and `status` answer in half a second. Run with `pytest tests/bench -s`.

Machines that run this differ by a factor of three and more, so it is asserted in multiples of what Python needs to
import numpy on the same machine in the same moment: twice what was measured, 2.3 and 4.6 (docs/performance.md).
"""

from pathlib import Path

import pytest
from processes import seconds_of, seconds_of_numpy

RESULTS = Path(__file__).parents[2] / "results" / "reference" / "mosaic"
STATUS = ["status", "mosaic", "--results", str(RESULTS)]


@pytest.mark.parametrize(("words", "allowed"), [(["--help"], 5), (STATUS, 10)], ids=["help", "status"])
def test_what_needs_no_torch_answers_at_once(words: list[str], allowed: float) -> None:
    runs = [(seconds_of("-m", "mosaic_bench", *words), seconds_of_numpy()) for _ in range(5)]
    took, numpy = min(runs, key=lambda run: run[0] / run[1])  # the first run may have to compile
    print(f"{words[0]}: {took:.2f} s of one core, {took / numpy:.1f} times what importing numpy takes")
    assert took < allowed * numpy
