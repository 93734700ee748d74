"""Images that the server owns, without their labels unless a method declares that it uses them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from mosaic_bench.data.device import DeviceImages
from mosaic_bench.fed.client_data import PrivacyError


class PublicImages:
    """Images without labels, on the device.

    Args:
        source: where they are stored.
        indices: int64 positions in it.
        with_labels: whether ``labels`` may be asked for.
    """

    def __init__(self, source: DeviceImages, indices: Tensor, with_labels: bool = False) -> None:
        self._source, self._indices, self._with_labels = source, indices, with_labels

    def __len__(self) -> int:
        return len(self._indices)

    def images(self, positions: Tensor | slice = slice(None)) -> Tensor:
        """Return normalised images, float32 (b, C, H, W)."""
        return self._source.batch(self._indices[positions])

    @property
    def labels(self) -> Tensor:
        """Labels, int64 (n,), for methods that say so: upper bounds, never a competitor.

        Raises:
            PrivacyError: the algorithm did not declare "public labels" in `reveals`.
        """
        if not self._with_labels:
            raise PrivacyError("uses 'public labels', which it does not declare in `reveals`")
        return self._source.labels[self._indices]

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield every image once, in a fixed order."""
        for start in range(0, len(self), size):
            yield self.images(slice(start, start + size))
