"""MNIST's IDX files (https://yann.lecun.com/exdb/mnist): big-endian header, then raw bytes."""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_bench.data.formats.base import Decoded, Format, checked_split, damaged

UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class Idx(Format):
    """Four files, gzipped or not, as MNIST and Fashion-MNIST publish them. `classes` names the labels."""

    classes: tuple[str, ...]

    def sources(self, location: Path) -> list[Path]:
        """The four files; where both forms are present, the compressed one."""
        names = [f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
        return [_gzipped_or_plain(location / name) for name in names]

    def decode(self, location: Path) -> Decoded:
        """Read the four files in `location`."""
        paths = self.sources(location)
        train_images, train_labels, test_images, test_labels = (
            read_idx(path, axes) for path, axes in zip(paths, (3, 1, 3, 1), strict=True)
        )
        return Decoded(
            train=checked_split(train_images[..., None], train_labels, len(self.classes), paths[0]),
            test=checked_split(test_images[..., None], test_labels, len(self.classes), paths[2]),
            classes=self.classes,
        )


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The array in one IDX file, uint8, of the shape its header gives.

    Raises:
        DataError: if the file is truncated, longer than its header says, or has another number of axes.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"truncated or damaged gzip file ({error})") from error
    data_start = 4 + 4 * axes
    if len(raw) < data_start or raw[:4] != bytes((0, 0, UNSIGNED_BYTE, axes)):
        raise damaged(path, f"not an IDX file of unsigned bytes with {axes} axes")
    shape = tuple(int(n) for n in np.frombuffer(raw[4:data_start], dtype=">u4"))
    if len(raw) - data_start != math.prod(shape):
        raise damaged(path, f"{len(raw) - data_start} bytes of data where the header announces {shape}")
    return np.frombuffer(raw, dtype=np.uint8, offset=data_start).reshape(shape)


def _gzipped_or_plain(path: Path) -> Path:
    gzipped = path.with_name(path.name + ".gz")
    return path if path.exists() and not gzipped.exists() else gzipped
