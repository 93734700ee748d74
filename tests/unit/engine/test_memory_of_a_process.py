import subprocess
import sys

PEAK = """
import torch
from mosaic_bench.engine.memory import peak_bytes
before = peak_bytes(torch.device("cpu"))
kept = bytearray(300 * 2**20)
print(before, peak_bytes(torch.device("cpu")) - before)
"""


def test_a_cells_peak_is_its_own_and_not_that_of_the_process_that_started_it() -> None:
    large = bytearray(1500 * 2**20)
    printed = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    before, grown = map(int, printed.split())
    assert before < len(large) / 2
    assert 295 * 2**20 < grown < 310 * 2**20
