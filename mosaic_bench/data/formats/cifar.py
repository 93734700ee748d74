"""CIFAR-10 and CIFAR-100, the "python version" (https://www.cs.toronto.edu/~kriz/cifar.html)."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.formats.base import Decoded, Format, checked_split, damaged

_RECONSTRUCT: Callable[..., Any] = np.zeros(0).__reduce__()[0]  # type: ignore[assignment]

# All that the published batches name. Anything else in a pickle could run code, so it is refused.
ALLOWED_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


@dataclass(frozen=True)
class Cifar(Format):
    """A folder of pickled batches.

    Attributes:
        train_batches: file names of the training batches, in order.
        test_batches: file names of the test batches.
        labels_key: the entry of a batch that holds its labels.
        meta: file name of the pickle with the class names.
        names_key: the entry of `meta` that holds the class names.
    """

    train_batches: tuple[str, ...]
    test_batches: tuple[str, ...]
    labels_key: bytes
    meta: str
    names_key: bytes

    def sources(self, location: Path) -> list[Path]:
        """All batches and the file with the class names."""
        return [location / name for name in (*self.train_batches, *self.test_batches, self.meta)]

    def decode(self, location: Path) -> Decoded:
        """Read all batches in `location`."""
        meta = location / self.meta
        names = tuple(name.decode() for name in _entries(meta, self.names_key)[0])
        train = self._read_batches([location / name for name in self.train_batches], len(names))
        test = self._read_batches([location / name for name in self.test_batches], len(names))
        return Decoded(train, test, names)

    def _read_batches(self, paths: Sequence[Path], classes: int) -> Split:
        batches = [self._read_batch(path, classes) for path in paths]
        return Split(
            np.concatenate([batch.images for batch in batches]),
            np.concatenate([batch.labels for batch in batches]),
        )

    def _read_batch(self, path: Path, classes: int) -> Split:
        rows, labels = _entries(path, b"data", self.labels_key)
        if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (3072,):
            raise damaged(path, "the batch does not hold rows of 3072 bytes")
        # A row is the red plane, then green, then blue.
        images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return checked_split(images, np.asarray(labels), classes, path)


class RestrictedUnpickler(pickle.Unpickler):
    """Loads arrays and plain values, and refuses everything else before it is called."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """The one callable that stands behind an allowed name."""
        try:
            return ALLOWED_GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs") from None


def _entries(path: Path, *keys: bytes) -> list[Any]:
    try:
        with path.open("rb") as file:
            content = RestrictedUnpickler(file, encoding="bytes").load()
        return [content[key] for key in keys]
    # A damaged pickle fails in whatever its next opcode happens to be.
    except Exception as error:
        raise damaged(path, f"truncated or not a CIFAR pickle ({error})") from error
