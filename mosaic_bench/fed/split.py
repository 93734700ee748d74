"""Who holds what: validation, public and client images of one cell, a function of seed, data set and partition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mosaic_bench.data import Dataset, Partition, hold_out
from mosaic_bench.fed.seeds import numpy_rng
from mosaic_bench.suite import Cell


@dataclass(frozen=True)
class Split:
    """Positions in the training images, int64 and disjoint.

    Attributes:
        clients: one vector per client.
        validation: labelled images that no client holds.
        public: unlabelled images that the server owns.
    """

    clients: list[np.ndarray]
    validation: np.ndarray
    public: np.ndarray


def split(cell: Cell, partition: Partition, dataset: Dataset) -> Split:
    """Hold out validation and public images, then spread the rest over the clients.

    Raises:
        DataError: the partition can't give every client its minimum of images.
    """
    labels = dataset.train.labels
    federation = cell.federation
    rest = np.arange(len(labels))
    validation, rest = _take(labels, rest, federation.validation, numpy_rng(cell.seed, "validation"))
    own_public = federation.public is not None and federation.public.source == "train"
    fraction = federation.public.fraction if federation.public and own_public else 0.0
    public, rest = _take(labels, rest, fraction, numpy_rng(cell.seed, "public"))
    parts = partition.split(labels[rest], federation.clients, dataset.num_classes, numpy_rng(cell.seed, "clients"))
    return Split([rest[part] for part in parts], validation, public)


def _take(
    labels: np.ndarray, among: np.ndarray, fraction: float, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Take a class-stratified fraction of all images out of ``among``; return (taken, rest)."""
    if fraction == 0:
        return among[:0], among
    held, rest = hold_out(labels[among], round(fraction * len(labels)), rng)
    return among[held], among[rest]
