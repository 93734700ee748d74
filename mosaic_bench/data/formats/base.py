"""What every reader offers, and the checks that hold for all of them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.errors import DataError


@dataclass(frozen=True, eq=False)
class Decoded:
    """A data set as it came off the disk: both splits, and one readable name per class."""

    train: Split
    test: Split
    classes: tuple[str, ...]

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Training images and labels, test images and labels."""
        return self.train.images, self.train.labels, self.test.images, self.test.labels


class Format(ABC):
    """One way in which data sets lie on disk."""

    @abstractmethod
    def sources(self, location: Path) -> list[Path]:
        """The files and folders at `location` whose presence, size and time stand for the data.

        Their paths are returned whether or not they exist.
        """

    def contents(self, location: Path) -> list[Path]:
        """Files besides `sources` whose size and time stand for the data; none where the sources say enough."""
        return []

    @abstractmethod
    def decode(self, location: Path) -> Decoded:
        """Read the data set at `location`.

        Raises:
            DataError: if a file is truncated or not what the format says; the message names the file.
        """


def damaged(path: Path, what: str) -> DataError:
    """The error for a file that cannot be read as published."""
    return DataError(f"{path}: {what}. Replace this file by a fresh copy.")


def read_text(path: Path) -> str:
    """The text of a list of names.

    Raises:
        DataError: if it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, f"not text in UTF-8 ({error})") from error


def checked_split(images: np.ndarray, labels: np.ndarray, classes: int, path: Path) -> Split:
    """A split whose images and labels fit each other.

    Args:
        images: shape (N, H, W, C).
        labels: class numbers of any integer type, shape (N,).
        classes: labels must lie below this number.
        path: named in the error.

    Raises:
        DataError: if the counts differ, or a label is no class number.
    """
    if len(images) != len(labels) or len(images) == 0:
        raise damaged(path, f"{len(images)} images but {len(labels)} labels")
    if labels.dtype.kind not in "iu":
        raise damaged(path, f"labels are {labels.dtype}, expected integers")
    if labels.min() < 0 or labels.max() >= classes:
        raise damaged(path, f"labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return Split(np.ascontiguousarray(images), labels.astype(np.int64))
