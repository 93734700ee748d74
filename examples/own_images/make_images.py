"""Write the same small images in both forms that `dataset: NAME` reads: an npz file and a folder of PNG files.

python examples/own_images/make_images.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

CLASSES = ("zero", "one", "two", "three")


def main(folder: Path) -> None:
    """Write `strokes.npz` and `strokes_png/{train,test}/CLASS/NUMBER.png`: digits 0 to 3, every fifth for tests."""
    digits = load_digits(n_class=len(CLASSES))
    images = (digits.images * (255 / 16)).astype(np.uint8)  # N×8×8, grey
    labels = np.array([sorted(CLASSES).index(CLASSES[digit]) for digit in digits.target])  # folders are sorted by name
    order = np.argsort(labels, kind="stable")  # folders are read class by class; equal order gives equal results
    images, labels = images[order], labels[order]
    test = np.arange(len(images)) % 5 == 0
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "strokes.npz",
        x_train=images[~test],
        y_train=labels[~test],
        x_test=images[test],
        y_test=labels[test],
        classes=sorted(CLASSES),
    )
    for number, (image, label, is_test) in enumerate(zip(images, labels, test, strict=True)):
        file = folder / "strokes_png" / ("test" if is_test else "train") / sorted(CLASSES)[label] / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
