"""Write `cifar10-small.npz`, the 12,000 images behind the CIFAR-10 half of the committed results, from CIFAR-10.

python -m mosaic_bench data fetch cifar10
python examples/cifar10_small/make_images.py FOLDER

`images.npy` beside this file holds the first 8 bytes of the SHA-256 of each image, in order: 10,000 training images,
then 2,000 test images, balanced over classes.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from mosaic_bench.data import Dataset, data_directories, open_dataset

TRAIN = 10_000
DIGEST = "dfea3afdc755e1587341ba1d05c61db1"  # of the data set, as `data verify` would find it


def fingerprints(images: np.ndarray) -> np.ndarray:
    """The first 8 bytes of each image's SHA-256; uint8 (N, H, W, C) -> uint64 (N,)."""
    return np.array(
        [int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big") for image in images], np.uint64
    )


def pick(source: Dataset, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find images by their fingerprints, in the order asked for, among a data set's training and test images."""
    images = np.concatenate([source.train.images, source.test.images])
    labels = np.concatenate([source.train.labels, source.test.labels])
    known = {fingerprint: place for place, fingerprint in enumerate(fingerprints(images).tolist())}
    places = [known.get(fingerprint, -1) for fingerprint in wanted.tolist()]
    if -1 in places:
        sys.exit(f"{places.count(-1)} of {len(places)} images are not in {source.name}")
    return images[places], labels[places]


def main(folder: Path) -> None:
    """Write the file, and say whether it is the one that the results were made with."""
    source = open_dataset("cifar10", data_directories())
    images, labels = pick(source, np.load(Path(__file__).with_name("images.npy")))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "cifar10-small.npz",
        x_train=images[:TRAIN],
        y_train=labels[:TRAIN],
        x_test=images[TRAIN:],
        y_test=labels[TRAIN:],
        classes=source.classes,
    )
    made = open_dataset("cifar10-small", [folder])
    print(f"digest {made.digest}, {'as in' if made.digest == DIGEST else 'NOT that of'} the results")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
