"""Points in the plane, on which decision regions can be drawn."""

from pathlib import Path

import numpy as np

from mosaic_bench.data.dataset import Split
from mosaic_bench.data.formats.base import Decoded, Format

CLASSES = 5
TRAIN = 2_000
TEST = 1_000
TURN = 2.0
SPREAD = 0.22


class Toy2d(Format):
    """Five spiral arms around the origin, inside the unit circle; a class is an arm.

    The points come from a low-discrepancy sequence, so the data set is one fixed thing without any seed.
    """

    def sources(self, location: Path) -> list[Path]:
        """None: the points are computed."""
        return []

    def decode(self, location: Path) -> Decoded:
        """Compute the points; `location` is not looked at."""
        points, labels = _spirals(TRAIN + TEST)
        is_test = np.arange(len(labels)) // CLASSES % 3 == 2
        return Decoded(
            train=Split(points[~is_test], labels[~is_test]),
            test=Split(points[is_test], labels[is_test]),
            classes=tuple(f"arm {arm}" for arm in range(CLASSES)),
        )


def _spirals(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points as float32 (count, 1, 1, 2), and their int64 labels; classes take turns."""
    labels = np.arange(count) % CLASSES
    along = np.sqrt(0.02 + 0.98 * _van_der_corput(count, 2))
    # A sum of two uniform draws: dense in the middle of the arm, thin towards the next one.
    across = _van_der_corput(count, 3) + _van_der_corput(count, 7) - 1
    angle = 2 * np.pi * labels / CLASSES + TURN * along + 2 * np.pi * SPREAD * across
    points = np.stack([along * np.cos(angle), along * np.sin(angle)], axis=1)
    # Rounding hides the last bits, in which mathematical libraries differ, from the digest.
    points = np.round(points * 4096) / 4096
    return points.astype(np.float32).reshape(count, 1, 1, 2), labels.astype(np.int64)


def _van_der_corput(count: int, base: int) -> np.ndarray:
    """The first `count` terms of the van der Corput sequence in `base`, in [0, 1)."""
    index = np.arange(1, count + 1)
    value, digit_weight = np.zeros(count), 1.0
    while index.any():
        index, digit = np.divmod(index, base)
        digit_weight /= base
        value += digit * digit_weight
    return value
