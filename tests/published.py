"""Tiny data sets written in exactly the formats in which the real ones are published, and how they should read."""

import gzip
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from scipy.io import savemat

from mosaic_bench.data.formats import Decoded


def random_images(n: int, size: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (n, size, size, channels), dtype=np.uint8)


def labelled(n: int, size: int, channels: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return random_images(n, size, channels, seed), np.arange(n, dtype=np.int64)[::-1] % classes


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for prefix, (images, labels) in (("train", train), ("t10k", test)):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images[..., 0])))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))


def write_svhn(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """MATLAB 5 with X (H, W, C, N) and y (N, 1), the digit 0 labelled 10."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.where(labels == 0, 10, labels).astype(np.uint8)
    savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None]}, do_compression=True)


class Python2Pickler(pickle._Pickler):
    """Writes byte strings as Python 2 wrote its `str`, and numpy's module under its old name: the batches' dialect."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_byte_string(self, value: bytes) -> None:
        short = len(value) < 256
        self.write((b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + value)
        self.memoize(value)

    dispatch[bytes] = save_byte_string


def write_python2_pickle(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(content)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def write_cifar_batch(path: Path, images: np.ndarray, labels: np.ndarray, key: bytes = b"labels") -> None:
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), 3072)
    names = [f"image_{i}.png".encode() for i in range(len(images))]
    content = {b"data": rows, key: labels.tolist(), b"batch_label": b"one of five", b"filenames": names}
    write_python2_pickle(path, content)


def write_jpeg(path: Path, image: np.ndarray) -> np.ndarray:
    """Write a JPEG file. JPEG is lossy, so the pixels that a decoder must find in it are returned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, "JPEG", quality=95)
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def write_tiny_imagenet(
    folder: Path, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], wnids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Write the layout of `tiny-imagenet-200`; returns the pixels as JPEG kept them, in the order they were given."""
    kept_train = [
        write_jpeg(folder / "train" / wnids[label] / "images" / f"{wnids[label]}_{i}.JPEG", image)
        for i, (image, label) in enumerate(zip(*train, strict=True))
    ]
    kept_test, lines = [], []
    for i, (image, label) in enumerate(zip(*test, strict=True)):
        kept_test.append(write_jpeg(folder / "val/images" / f"val_{i}.JPEG", image))
        lines.append(f"val_{i}.JPEG\t{wnids[label]}\t0\t0\t62\t62")
    (folder / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    (folder / "wnids.txt").write_text("\n".join(wnids) + "\n")
    words = [f"{wnid}\tname of {wnid}, another name" for wnid in sorted(wnids)]
    (folder / "words.txt").write_text("\n".join(["n00001740\tentity", *words]) + "\n")
    return np.stack(kept_train), np.stack(kept_test)


def write_food101(folder: Path, classes: Sequence[str], splits: dict[str, list[tuple[np.ndarray, int]]]) -> None:
    """Write the layout of `food-101`: photographs of any size, one list of CLASS/ID per split."""
    (folder / "meta").mkdir(parents=True)
    (folder / "meta/classes.txt").write_text("\n".join(classes) + "\n")
    for split, entries in splits.items():
        lines = []
        for i, (image, label) in enumerate(entries):
            name = f"{classes[label]}/{split}{i}"
            write_jpeg(folder / "images" / f"{name}.jpg", image)
            lines.append(name)
        (folder / "meta" / f"{split}.txt").write_text("\n".join(lines) + "\n")


def write_npz(path: Path, n: int = 40, size: int = 8, channels: int = 3, classes: int = 4, seed: int = 0) -> None:
    """A small data set in the npz layout; classes take turns."""
    labels = np.arange(n) % classes
    np.savez(
        path,
        x_train=random_images(n, size, channels, seed),
        y_train=labels,
        x_test=random_images(n // 2, size, channels, seed + 1),
        y_test=labels[: n // 2],
    )


def assert_split(decoded: Decoded, which: str, images: np.ndarray, labels: np.ndarray) -> None:
    """A split holds exactly these images and labels."""
    split = getattr(decoded, which)
    assert split.images.dtype == images.dtype
    assert split.labels.dtype == np.int64
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)
