"""A client's images, readable only while the harness is beside them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mosaic_bench.data.device import Augmentation, DeviceImages
from mosaic_bench.fed.ledger import Ledger
from mosaic_bench.fed.seeds import generator


class PrivacyError(RuntimeError):
    """A method reached for client data outside ``train`` and ``map``, or uploaded what it did not declare."""


class ClientData:
    """One client's images and labels, open inside ``train`` and ``map`` only.

    Args:
        client: index of the client.
        source: the training images of the whole federation, on the device.
        indices: int64 positions of this client's images, on the device.
        classes: number of classes C.
        seed: the cell's seed; batch order depends on it, the client, the step and the epoch.
        ledger: where images that are read count.
    """

    def __init__(
        self, client: int, source: DeviceImages, indices: Tensor, classes: int, seed: int, ledger: Ledger
    ) -> None:
        self.client = client
        self._source, self._indices, self._classes, self._seed = source, indices, classes, seed
        self._ledger = ledger
        self._open = True

    def close(self) -> None:
        """End access: every later read raises."""
        self._open = False

    @property
    def samples(self) -> int:
        """Number of images."""
        return len(self._readable())

    @property
    def labels(self) -> Tensor:
        """Labels, int64 (n,)."""
        return self._source.labels[self._readable()]

    @property
    def counts(self) -> Tensor:
        """Images per class, int64 (C,)."""
        return torch.bincount(self.labels, minlength=self._classes)

    def images(self, positions: Tensor | slice = slice(None)) -> Tensor:
        """Return normalised images without augmentation, float32 (b, C, H, W), at positions within the client."""
        chosen = self._readable()[positions]
        self._ledger.count(samples=len(chosen))
        return self._source.batch(chosen)

    def batches(self, size: int, t: int, augmentation: Augmentation | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, labels) without end, each epoch in a new order.

        A last batch of one image is dropped (BatchNorm cannot train on it); other remainders are kept.
        """
        epoch = 0
        while True:
            yield from self._epoch(
                size, generator(self._seed, "batches", client=self.client, t=t, epoch=epoch), augmentation
            )
            epoch += 1

    def steps_per_epoch(self, size: int) -> int:
        """Minibatches that ``batches`` makes of one epoch."""
        whole, rest = divmod(self.samples, size)
        return whole + (rest > 1)

    def _epoch(
        self, size: int, random: torch.Generator, augmentation: Augmentation | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        indices = self._readable()
        order = indices[torch.randperm(len(indices), generator=random).to(indices.device, non_blocking=True)]
        draws = augmentation.draw(len(order), random) if augmentation else None
        for step in range(self.steps_per_epoch(size)):
            self._readable()  # the stream may outlive ``train`` and ``map``
            part = slice(step * size, (step + 1) * size)
            chosen = order[part]
            self._ledger.count(samples=len(chosen))
            yield self._source.batch(chosen, draws[part] if draws else None), self._source.labels[chosen]

    def _readable(self) -> Tensor:
        if not self._open:
            raise PrivacyError(f"data of client {self.client} read outside train or map")
        return self._indices
