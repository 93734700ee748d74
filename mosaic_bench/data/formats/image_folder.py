"""Image files sorted into one folder per class, torchvision's ImageFolder layout."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.errors import DataError
from mosaic_bench.data.formats.base import Decoded, Format, checked_split
from mosaic_bench.data.formats.images import image_tree, open_image, read_images, visible


class ImageFolder(Format):
    """`NAME/train/CLASS/*` and `NAME/test/CLASS/*`; `NAME/val` serves where there is no `NAME/test`.

    All images must be square and of one size. The data set is grey if its first image is. Labels follow the sorted
    class names. Images in sub-folders of a class belong to it, but links to folders inside a class are not followed.
    What is hidden (a name that begins with a dot) is no class and no image.
    """

    def sources(self, location: Path) -> list[Path]:
        """The class folders of both splits, whose times change when a file is added or removed."""
        splits = self._splits(location)
        return [*splits, *(folder for split in splits if split.is_dir() for folder in _class_folders(split))]

    def contents(self, location: Path) -> list[Path]:
        """All images: the time of a folder stays as it is when one of them is written again."""
        splits = self._splits(location)
        return [file for split in splits for folder in _class_folders(split) for file in image_tree(folder)]

    def decode(self, location: Path) -> Decoded:
        """Read all images below `location`."""
        train_folder, test_folder = self._splits(location)
        train, test = _files(train_folder), _files(test_folder)
        empty = [name for name, files in train.items() if not files]
        if empty:
            raise DataError(f"{train_folder}: no images of {', '.join(empty)}. Put some there, or remove the folder.")
        unexpected = [name for name in test if name not in train]
        if unexpected:
            raise DataError(f"{test_folder}: the classes {', '.join(unexpected)} have no training folder.")
        first = open_image(next(iter(train.values()))[0])
        size, mode = first.size[0], "L" if first.mode in ("1", "L") else "RGB"
        names = tuple(train)
        return Decoded(
            train=_read_split(train, names, size, mode, train_folder),
            test=_read_split(test, names, size, mode, test_folder),
            classes=names,
        )

    def _splits(self, location: Path) -> tuple[Path, Path]:
        return location / "train", location / "test" if (location / "test").is_dir() else location / "val"


def _class_folders(split: Path) -> list[Path]:
    return [folder for folder in visible(split) if folder.is_dir()]


def _files(split: Path) -> dict[str, list[Path]]:
    """The images of each class that has a folder."""
    files = {folder.name: image_tree(folder) for folder in _class_folders(split)}
    if not any(files.values()):
        raise DataError(f"{split}: no images. Expected {split}/CLASS/*.png, one folder per class.")
    return files


def _read_split(files: Mapping[str, list[Path]], names: tuple[str, ...], size: int, mode: str, split: Path) -> Split:
    labels = np.repeat(np.arange(len(names)), [len(files.get(name, [])) for name in names])
    paths = list(chain.from_iterable(files.get(name, []) for name in names))
    return checked_split(read_images(paths, size, mode), labels, len(names), split)
