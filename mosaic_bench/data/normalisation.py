"""Per-channel mean and standard deviation of images."""

import numpy as np

LEVELS = np.arange(256) / 255


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, with pixels scaled to [0, 1].

    They come from exact counts of the 256 grey levels, so every machine finds the same numbers.

    Args:
        images: uint8, shape (N, H, W, C).

    Returns:
        Mean and standard deviation, C numbers each, rounded to four digits as in the literature. A constant channel has
        standard deviation 1, so that it can be divided by.
    """
    counts = [np.bincount(images[..., c].reshape(-1), minlength=256) for c in range(images.shape[3])]
    means = [float(count @ LEVELS / count.sum()) for count in counts]
    variances = [float(count @ (LEVELS - mean) ** 2 / count.sum()) for count, mean in zip(counts, means, strict=True)]
    return (
        tuple(round(mean, 4) for mean in means),
        tuple(round(variance**0.5, 4) or 1.0 for variance in variances),
    )
