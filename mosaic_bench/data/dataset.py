"""What a data set is once it is ready to train on."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from mosaic_bench.data.errors import DataError
from mosaic_bench.data.splits import stratified_sample


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test half of a data set.

    Attributes:
        images: shape (N, H, W, C); uint8 pixels, or float32 coordinates for points in the plane (H = W = 1, C = 2).
        labels: int64 class numbers, shape (N,).
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """A copy of the samples at `indices` (int64, shape (n,)), in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled image data set.

    Attributes:
        name: its name in suite files.
        train: the training images.
        test: the test images.
        classes: one readable name per class; the position is the label.
        mean: per channel, on the scale where the largest pixel value is 1.
        std: per channel, on the same scale.
        flip: whether a mirrored image still shows its class; digits do not.
        digest: 32 hex digits that identify the decoded tensors, whatever archive they came from.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    digest: str

    @property
    def channels(self) -> int:
        """Number of channels C: 1 for grey images, 3 for colour, 2 for points in the plane."""
        return int(self.train.images.shape[3])

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return int(self.train.images.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def subset(self, train: int | None = None, test: int | None = None) -> "Dataset":
        """A fixed class-stratified part of this data set.

        The choice depends on the digest and on the numbers asked for, never on a seed, so every cell of a suite sees
        the same part.

        Args:
            train: how many training images to keep; None keeps all.
            test: how many test images to keep; None keeps all.

        Raises:
            DataError: if more is asked for than there is.
        """
        part = replace(self, train=self._part("train", train), test=self._part("test", test))
        if part.train is self.train and part.test is self.test:
            return self
        return replace(part, digest=_hash(f"{self.digest} train={len(part.train)} test={len(part.test)}").hex())

    def _part(self, which: str, count: int | None) -> Split:
        split: Split = getattr(self, which)
        if count is None or count == len(split):
            return split
        if not 0 < count <= len(split):
            raise DataError(
                f"{self.name} has {len(split)} {which} images; a subset of {count} cannot be taken from them."
            )
        seed = np.frombuffer(_hash(f"{self.digest} {which}"), dtype=np.uint32)
        return split.take(stratified_sample(split.labels, count, np.random.RandomState(seed)))


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
