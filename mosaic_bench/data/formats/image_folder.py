"""Image files sorted into one folder per class, torchvision's ImageFolder layout."""

from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.errors import DataError
from mosaic_bench.data.formats.base import Decoded, Format, checked_split
from mosaic_bench.data.formats.images import image_files, read_images


class ImageFolder(Format):
    """`NAME/train/CLASS/*` and `NAME/test/CLASS/*`; `NAME/val` serves where there is no `NAME/test`.

    All images must be square and of one size. The data set is grey if its first image is. Labels follow the sorted
    class names.
    """

    def sources(self, location: Path) -> list[Path]:
        """The class folders of both splits, whose times change when a file is added or removed."""
        splits = (location / "train", self._test(location))
        return [*splits, *(folder for split in splits if split.is_dir() for folder in _class_folders(split))]

    def decode(self, location: Path) -> Decoded:
        """Read all images below `location`."""
        train = location / "train"
        names = tuple(folder.name for folder in _class_folders(train))
        first = next((file for name in names for file in image_files(train / name)), None)
        if first is None:
            raise DataError(f"{train}: no images. Expected {train}/CLASS/*.png, one folder per class.")
        with Image.open(first) as image:
            size, mode = image.size[0], "L" if image.mode in ("1", "L") else "RGB"
        return Decoded(
            train=_read_split(train, names, size, mode),
            test=_read_split(self._test(location), names, size, mode),
            classes=names,
        )

    def _test(self, location: Path) -> Path:
        return location / "test" if (location / "test").is_dir() else location / "val"


def _class_folders(split: Path) -> list[Path]:
    return sorted(folder for folder in split.iterdir() if folder.is_dir())


def _read_split(split: Path, names: tuple[str, ...], size: int, mode: str) -> Split:
    unexpected = [folder.name for folder in _class_folders(split) if folder.name not in names]
    if unexpected:
        raise DataError(f"{split}: the classes {', '.join(unexpected)} have no training folder.")
    files = [image_files(split / name) if (split / name).is_dir() else [] for name in names]
    labels = np.repeat(np.arange(len(names)), [len(of_class) for of_class in files])
    if len(labels) == 0:
        raise DataError(f"{split}: no images. Expected {split}/CLASS/*.png, one folder per class.")
    return checked_split(read_images(list(chain.from_iterable(files)), size, mode), labels, len(names), split)
