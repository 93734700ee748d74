"""Food-101 in the layout of its archive: `images/CLASS/ID.jpg`, `meta/{classes,train,test}.txt`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.formats.base import Decoded, Format, checked_split, damaged, read_text
from mosaic_bench.data.formats.images import read_images


@dataclass(frozen=True)
class Food101(Format):
    """Photographs of up to 512 pixels, brought to `size` × `size` with antialiasing.

    The label of a class is its line in `classes.txt`.
    """

    size: int

    def sources(self, location: Path) -> list[Path]:
        """The lists, and the class folders, whose times change when a file is added or removed."""
        meta = location / "meta"
        classes = meta / "classes.txt"
        names = read_text(classes).split() if classes.exists() else []
        return [classes, meta / "train.txt", meta / "test.txt", *(location / "images" / name for name in names)]

    def decode(self, location: Path) -> Decoded:
        """Read all photographs that the two lists name."""
        classes = tuple(read_text(location / "meta/classes.txt").split())
        return Decoded(
            train=self._read_split(location, "train.txt", classes),
            test=self._read_split(location, "test.txt", classes),
            classes=tuple(name.replace("_", " ") for name in classes),
        )

    def _read_split(self, location: Path, list_name: str, classes: tuple[str, ...]) -> Split:
        listing = location / "meta" / list_name
        entries = read_text(listing).split()
        label_of = {name: label for label, name in enumerate(classes)}
        try:
            labels = np.array([label_of[entry.split("/")[0]] for entry in entries])
        except KeyError as error:
            raise damaged(listing, f"it names a class {error} that classes.txt does not list") from error
        images = read_images([location / "images" / f"{entry}.jpg" for entry in entries], self.size, crop=True)
        return checked_split(images, labels, len(classes), listing)
