"""What one cell is computed with: its federation, and the images it is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mosaic_bench.data import Partition, audit, client_test_split, open_dataset
from mosaic_bench.data.device import Augmentation, DeviceImages
from mosaic_bench.engine.resolve import open_cell_data
from mosaic_bench.engine.state import digest
from mosaic_bench.fed.federation import Federation
from mosaic_bench.fed.seeds import numpy_rng
from mosaic_bench.fed.split import split
from mosaic_bench.fed.task import Task
from mosaic_bench.suite import Cell


class Bench:
    """The federation of one cell, and the images it is judged on.

    Attributes:
        judged: images and positions among them, by split: "test", and "val" where images are held back.
        train: all training images.
        clients: positions of each client's images among them.
        local_tests: positions of each client's own test images.
    """

    def __init__(
        self,
        cell: Cell,
        partition: Partition,
        directories: Sequence[Path],
        device: torch.device,
        reveals: frozenset[str],
    ) -> None:
        self.cell = cell
        self._dataset = open_cell_data(cell, directories)
        self._parts = split(cell, partition, self._dataset)
        train, test = (DeviceImages(part, self._dataset, device) for part in (self._dataset.train, self._dataset.test))
        augmentation = Augmentation.standard(self._dataset) if cell.local.augment == "standard" else None
        self.federation = Federation(
            cell, Task.of(self._dataset), train, self._parts, augmentation, reveals, self._public(directories, device)
        )
        self.judged = {"test": (test, torch.arange(len(test.labels), device=device))}
        if len(self._parts.validation):
            self.judged["val"] = (train, torch.from_numpy(self._parts.validation).to(device))
        self.train = train
        self.clients = [torch.from_numpy(part).to(device) for part in self._parts.clients]
        self.local_tests = self._local_tests()

    def audit(self) -> dict[str, Any]:
        """What each client got."""
        return audit(self._dataset.train.labels, self._parts.clients, self._dataset.num_classes)

    def partition_digest(self) -> str:
        """Hash which images each client, the validation split and the server hold, in order."""
        parts = [*self._parts.clients, self._parts.validation, self._parts.public]
        return digest([torch.from_numpy(part) for part in parts])

    def _local_tests(self) -> list[Tensor]:
        """Positions of each client's own test images; clients that get none are left out."""
        mix = self.cell.evaluate.local
        if mix == "none":
            return []
        counts = np.array(self.audit()["table"])
        parts = client_test_split(self._dataset.test.labels, counts, mix, numpy_rng(self.cell.seed, "local test"))
        return [torch.from_numpy(part) for part in parts if len(part)]

    def _public(self, directories: Sequence[Path], device: torch.device) -> DeviceImages | None:
        public = self.cell.federation.public
        if public is None or public.source == "train":
            return None
        other = open_dataset(public.source, directories)
        return DeviceImages(other.train, self._dataset, device)
