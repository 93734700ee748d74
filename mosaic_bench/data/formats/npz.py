"""A numpy archive of ready-made tensors, the simplest way to bring one's own data."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.errors import DataError
from mosaic_bench.data.formats.base import Decoded, Format, checked_split, damaged

REQUIRED = ("x_train", "y_train", "x_test", "y_test")


class Npz(Format):
    """`NAME.npz` with uint8 images `x_train`, `x_test` of shape (N, H, W[, C]) and integer labels `y_train`, `y_test`.

    An optional array `classes` names the classes; otherwise they are numbered.
    """

    def sources(self, location: Path) -> list[Path]:
        """The file itself."""
        return [location]

    def decode(self, location: Path) -> Decoded:
        """Read the file."""
        try:
            with np.load(location, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        # A damaged archive fails in whatever zip or numpy meets next; a single .npy array is no archive at all.
        except Exception as error:
            raise damaged(location, f"truncated or not an npz file of plain arrays ({error})") from error
        absent = [key for key in REQUIRED if key not in arrays]
        if absent:
            raise damaged(location, f"no array {', '.join(absent)}; an npz data set holds {', '.join(REQUIRED)}")
        for key in ("y_train", "y_test"):
            labels = arrays[key]
            if labels.dtype.kind not in "iu" or not labels.size:
                raise damaged(location, f"{key} is {labels.dtype} {labels.shape}, expected integer labels (N,)")
        names = _class_names(arrays, location)
        train = self._split(arrays["x_train"], arrays["y_train"], names, location)
        test = self._split(arrays["x_test"], arrays["y_test"], names, location)
        if train.images.shape[1:] != test.images.shape[1:]:
            shapes = f"{train.images.shape[1:]} but test images {test.images.shape[1:]}"
            raise damaged(location, f"training images are {shapes}, expected one shape (H, W, C)")
        return Decoded(train, test, names)

    def _split(self, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...], path: Path) -> Split:
        if images.ndim == 3:
            images = images[..., None]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2]:
            raise damaged(path, f"images are {images.dtype} {images.shape}, expected square uint8 (N, H, W, C)")
        if 0 in images.shape[1:]:
            raise damaged(path, f"images of shape {images.shape} have no pixels")
        return checked_split(images, labels.reshape(-1), len(names), path)


def _class_names(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[str, ...]:
    """The array `classes`, or numbers from 0 to the highest label."""
    if "classes" in arrays:
        given = arrays["classes"]
        if given.ndim != 1:
            raise damaged(path, f"classes is {given.dtype} {given.shape}, expected one name per class (C,)")
        return tuple(str(name) for name in given)
    labels = (arrays["y_train"], arrays["y_test"])
    highest, images = max(int(of_split.max()) for of_split in labels), sum(of_split.size for of_split in labels)
    if highest >= images:
        raise DataError(
            f"{path}: labels run to {highest}, but there are only {images} images. "
            "Number the classes from 0, or name all of them in an array `classes`."
        )
    return tuple(str(label) for label in range(1 + highest))
