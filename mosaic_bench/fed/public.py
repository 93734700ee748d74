"""Images that the server owns, without their labels unless a method declares that it uses them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mosaic_bench.data.device import DeviceImages
from mosaic_bench.errors import Unsupported
from mosaic_bench.fed.client_data import PrivacyError


class PublicImages:
    """Images without labels, on the device.

    Args:
        source: where they are stored.
        indices: int64 positions in it.
        with_labels: whether ``labels`` may be asked for.
        foreign: whether they are of another data set than the clients'.
    """

    def __init__(self, source: DeviceImages, indices: Tensor, with_labels: bool = False, foreign: bool = False) -> None:
        self._source, self._indices, self._with_labels, self._foreign = source, indices, with_labels, foreign

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
            Unsupported: the images are of another data set, whose classes are others.
        """
        if not self._with_labels:
            raise PrivacyError("uses 'public labels', which it does not declare in `reveals`")
        if self._foreign:
            raise Unsupported("needs labels of public images, and those of another data set are of other classes")
        return self._source.labels[self._indices]

    def batches(self, size: int, random: torch.Generator) -> Iterator[Tensor]:
        """Yield every image once, in a drawn order: the stored one may be sorted by class.

        A last batch of one image joins the batch before it, since BatchNorm cannot train on it.
        """
        parts = list(torch.randperm(len(self), generator=random).to(self._indices.device).split(size))
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        for positions in parts:
            yield self.images(positions)
