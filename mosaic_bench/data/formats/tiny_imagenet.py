"""Tiny-ImageNet in the layout of its archive `tiny-imagenet-200.zip`."""

from itertools import chain
from pathlib import Path

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.formats.base import Decoded, Format, checked_split, damaged, read_text
from mosaic_bench.data.formats.images import image_files, read_images

SIZE = 64


class TinyImageNet(Format):
    """Class folders for training, one annotated folder for validation.

    The published test images carry no labels, so the validation images are the test split, as everyone does. The
    label of a class is the line of its WordNet number in `wnids.txt`.
    """

    def sources(self, location: Path) -> list[Path]:
        """The lists, and the image folders, whose times change when a file is added or removed."""
        wnids = location / "wnids.txt"
        folders = [location / "train" / wnid / "images" for wnid in _read_lines(wnids)] if wnids.exists() else []
        return [wnids, location / "val/val_annotations.txt", location / "val/images", *folders]

    def decode(self, location: Path) -> Decoded:
        """Read the folder; a copy with fewer images per class is read as it is."""
        wnids = _read_lines(location / "wnids.txt")
        return Decoded(
            train=self._read_train(location / "train", wnids),
            test=self._read_validation(location / "val", wnids),
            classes=_class_names(location / "words.txt", wnids),
        )

    def _read_train(self, folder: Path, wnids: list[str]) -> Split:
        files = [image_files(folder / wnid / "images") for wnid in wnids]
        labels = np.repeat(np.arange(len(wnids)), [len(of_class) for of_class in files])
        return checked_split(read_images(list(chain.from_iterable(files)), SIZE), labels, len(wnids), folder)

    def _read_validation(self, folder: Path, wnids: list[str]) -> Split:
        annotations = folder / "val_annotations.txt"
        label_of = {wnid: label for label, wnid in enumerate(wnids)}
        try:
            rows = [line.split("\t")[:2] for line in _read_lines(annotations)]
            labels = np.array([label_of[wnid] for _, wnid in rows])
        except (KeyError, ValueError) as error:
            raise damaged(annotations, f"a line is not 'FILE<tab>WNID' with a known WNID ({error})") from error
        return checked_split(
            read_images([folder / "images" / name for name, _ in rows], SIZE), labels, len(wnids), annotations
        )


def _class_names(words: Path, wnids: list[str]) -> tuple[str, ...]:
    """The first word of each class, or its WordNet number where `words.txt` does not list it."""
    lines = _read_lines(words) if words.exists() else []
    names = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return tuple(names.get(wnid, wnid).split(",")[0].strip() for wnid in wnids)


def _read_lines(path: Path) -> list[str]:
    return read_text(path).splitlines()
