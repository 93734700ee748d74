"""Data sets, how they are dealt to clients, and what the clients got.

Importing this package loads neither torch nor scipy; device-resident batches live in `mosaic_bench.data.device`.
"""

from mosaic_bench.data.audit import audit
from mosaic_bench.data.dataset import Dataset, Split
from mosaic_bench.data.errors import DataError, MissingData
from mosaic_bench.data.locate import cache_directory, check_present, data_directories, known_datasets
from mosaic_bench.data.partition import PARTITIONS, Partition, parse_partition, register_partition
from mosaic_bench.data.prepared import open_dataset
from mosaic_bench.data.splits import client_test_split, hold_out

__all__ = [
    "PARTITIONS",
    "DataError",
    "Dataset",
    "MissingData",
    "Partition",
    "Split",
    "audit",
    "cache_directory",
    "check_present",
    "client_test_split",
    "data_directories",
    "hold_out",
    "known_datasets",
    "open_dataset",
    "parse_partition",
    "register_partition",
]
