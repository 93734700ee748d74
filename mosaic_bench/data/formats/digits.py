"""The 8×8 digits that come with scikit-learn: real handwriting, no download, seconds to train on."""

from pathlib import Path

import numpy as np
from PIL import Image

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.formats.base import Decoded, Format

SIZE = 16
BRIGHTEST = 16


class Digits(Format):
    """scikit-learn's `load_digits`, scaled to bytes and to 16×16 pixels. Every fifth image is a test image."""

    def sources(self, location: Path) -> list[Path]:
        """None: the data is installed with scikit-learn."""
        return []

    def decode(self, location: Path) -> Decoded:
        """Read the bundled data; `location` is not looked at."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.round(digits.images * (255 / BRIGHTEST)).astype(np.uint8)
        images = np.stack([_enlarge(image) for image in pixels])[..., None]
        labels = digits.target.astype(np.int64)
        is_test = np.arange(len(labels)) % 5 == 0
        return Decoded(
            train=Split(images[~is_test], labels[~is_test]),
            test=Split(images[is_test], labels[is_test]),
            classes=tuple("0123456789"),
        )


def _enlarge(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
