"""SVHN's cropped digits (http://ufldl.stanford.edu/housenumbers): one MATLAB file per split."""

from pathlib import Path

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.formats.base import Decoded, Format, checked_split, damaged

CLASSES = tuple("0123456789")


class Svhn(Format):
    """`train_32x32.mat` and `test_32x32.mat`."""

    def sources(self, location: Path) -> list[Path]:
        """The two files."""
        return [location / "train_32x32.mat", location / "test_32x32.mat"]

    def decode(self, location: Path) -> Decoded:
        """Read both files in `location`."""
        train, test = (_read_mat(path) for path in self.sources(location))
        return Decoded(train, test, CLASSES)


def _read_mat(path: Path) -> Split:
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], content["y"]
    # The MATLAB parser meets damage as whatever error its next step happens to raise.
    except Exception as error:
        raise damaged(path, f"truncated or not a MATLAB file with X and y ({error})") from error
    if images.dtype != np.uint8 or images.ndim != 4:
        raise damaged(path, f"X is {images.dtype} with {images.ndim} axes, expected uint8 with 4")
    # X is (H, W, C, N); the label of the digit 0 is 10.
    return checked_split(images.transpose(3, 0, 1, 2), labels.reshape(-1) % 10, len(CLASSES), path)
