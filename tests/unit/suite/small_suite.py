"""A suite file of eight cells that tests change in one place at a time."""

from collections.abc import Callable

from mosaic_bench.suite import Suite

SMALL = """\
suite: small
grid:
  algorithm: [fedavg, dense]
  partition: [{dirichlet: {alpha: 0.1}}, iid]
  seed: [0, 1]
dataset: digits
models: mlp
federation: {clients: 4, rounds: 3}
local: {steps: 2}
"""

Load = Callable[..., Suite]
