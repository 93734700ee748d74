"""Unlabelled images that the server owns."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from mosaic_bench.data.device import DeviceImages


class PublicImages:
    """Images without labels, on the device.

    Args:
        source: where they are stored.
        indices: int64 positions in it.
    """

    def __init__(self, source: DeviceImages, indices: Tensor) -> None:
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def images(self, positions: Tensor | slice = slice(None)) -> Tensor:
        """Return normalised images, float32 (b, C, H, W)."""
        return self._source.batch(self._indices[positions])

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield every image once, in a fixed order."""
        for start in range(0, len(self), size):
            yield self.images(slice(start, start + size))
