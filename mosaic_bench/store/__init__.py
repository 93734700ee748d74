"""Results on disk: one folder per cell, written atomically. Nothing here imports torch."""

from mosaic_bench.store.cell_folder import CellFolder, State, Status
from mosaic_bench.store.claim import Claim, ClaimLost, Pulse
from mosaic_bench.store.full import DiskFull, reporting_a_full_disk
from mosaic_bench.store.sources import (
    algorithm_files,
    describe_sources,
    same_sources,
    shown_state,
    source_digest,
    sources_changed,
    tree_digests,
)
from mosaic_bench.store.store import Store, StoreError
from mosaic_bench.store.watch import Watch

__all__ = [
    "CellFolder",
    "Claim",
    "ClaimLost",
    "DiskFull",
    "Pulse",
    "State",
    "Status",
    "Store",
    "StoreError",
    "Watch",
    "algorithm_files",
    "describe_sources",
    "reporting_a_full_disk",
    "same_sources",
    "shown_state",
    "source_digest",
    "sources_changed",
    "tree_digests",
]
