"""Results on disk: one folder per cell, written atomically. Nothing here imports torch."""

from mosaic_bench.store.cell_folder import CellFolder, State, Status
from mosaic_bench.store.sources import algorithm_files, describe_sources, harness_digest, is_stale, shown_state
from mosaic_bench.store.store import Store, StoreError

__all__ = [
    "CellFolder",
    "State",
    "Status",
    "Store",
    "StoreError",
    "algorithm_files",
    "describe_sources",
    "harness_digest",
    "is_stale",
    "shown_state",
]
