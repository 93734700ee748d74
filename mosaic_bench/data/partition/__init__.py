"""Schemes that deal the training images to the clients."""

from mosaic_bench.data.partition.base import PARTITIONS, Partition, register_partition
from mosaic_bench.data.partition.classes_per_client import ClassesPerClient
from mosaic_bench.data.partition.dirichlet import Dirichlet
from mosaic_bench.data.partition.iid import Iid
from mosaic_bench.data.partition.parse import parse_partition
from mosaic_bench.data.partition.quantity import Quantity
from mosaic_bench.data.partition.shards import Shards

__all__ = [
    "PARTITIONS",
    "ClassesPerClient",
    "Dirichlet",
    "Iid",
    "Partition",
    "Quantity",
    "Shards",
    "parse_partition",
    "register_partition",
]
