"""Imported once by the process that children are forked from: everything slow that every cell needs."""

import torch._dynamo  # loaded by the first optimiser of a process
import torch.utils.flop_counter  # noqa: F401

import mosaic_bench.engine.cell_run
import mosaic_bench.engine.execute  # noqa: F401
from mosaic_bench.store import describe_sources

describe_sources(())  # what it says of the harness takes a third of a second and is remembered
