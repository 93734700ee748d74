"""Image folders: which files count, what they are decoded to, and which are refused by name."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import assert_split, random_images

from mosaic_bench.data.errors import DataError
from mosaic_bench.data.formats import ImageFolder


def write_image_folders(folder: Path, size: int = 8) -> None:
    """Two classes with one grey image in each split, whose brightness is its number."""
    for i, name in enumerate(("train/cats", "train/dogs", "test/cats", "test/dogs")):
        (folder / name).mkdir(parents=True)
        Image.new("L", (size, size), i).save(folder / name / "0.png")


def test_images_in_sub_folders_of_a_class_belong_to_it(tmp_path: Path) -> None:
    write_image_folders(tmp_path)
    (tmp_path / "train/cats/more/yet").mkdir(parents=True)
    Image.new("L", (8, 8), 9).save(tmp_path / "train/cats/more/yet/1.png")
    decoded = ImageFolder().decode(tmp_path)
    assert decoded.train.images[:, 0, 0, 0].tolist() == [0, 9, 1]
    assert decoded.train.labels.tolist() == [0, 0, 1]


def test_a_link_back_to_its_own_class_is_not_followed(tmp_path: Path) -> None:
    write_image_folders(tmp_path / "own")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "own/train/birds").symlink_to(tmp_path / "elsewhere")
    Image.new("L", (8, 8), 7).save(tmp_path / "elsewhere/0.png")
    (tmp_path / "elsewhere/birds").symlink_to(tmp_path / "elsewhere")
    assert ImageFolder().decode(tmp_path / "own").train.images[:, 0, 0, 0].tolist() == [7, 0, 1]


def test_hidden_folders_are_no_classes_and_hidden_files_no_images(tmp_path: Path) -> None:
    write_image_folders(tmp_path)
    for split in ("train", "test"):
        (tmp_path / split / ".ipynb_checkpoints").mkdir()
        (tmp_path / split / "cats/._0.png").write_bytes(b"resource fork")
    decoded = ImageFolder().decode(tmp_path)
    assert decoded.classes == ("cats", "dogs")
    assert (len(decoded.train), len(decoded.test)) == (2, 2)


def test_a_training_class_without_images_is_named(tmp_path: Path) -> None:
    write_image_folders(tmp_path)
    (tmp_path / "train/birds").mkdir()
    with pytest.raises(DataError, match=r"train: no images of birds. Put some there, or remove the folder"):
        ImageFolder().decode(tmp_path)


def deep_png(channels: int) -> bytes:
    """An 8×8 PNG of 16 bits a channel, which Pillow cannot write: grey, grey with alpha, RGB or RGBA."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 8, 8, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = (b"\0" + b"\x12\x34" * 8 * channels) * 8
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


DEEP = {
    **{f"png of {channels} channels": deep_png(channels) for channels in (1, 2, 3, 4)},
    "grey pgm": b"P5 8 8 65535 " + b"\x12\x34" * 64,
    "12-bit pgm": b"P5 8 8 4095 " + b"\x02\x34" * 64,
    "ppm": b"P6 8 8 65535 " + b"\x12\x34" * 192,
    "float pfm": b"Pf 8 8 -1.0 " + bytes(4 * 64),
}


@pytest.mark.parametrize("name", ["train/cats/0.png", "test/dogs/0.png"])
@pytest.mark.parametrize("kind", DEEP)
def test_images_of_more_than_eight_bits_are_refused_by_name(tmp_path: Path, name: str, kind: str) -> None:
    write_image_folders(tmp_path)
    (tmp_path / name).write_bytes(DEEP[kind])
    with pytest.raises(DataError, match=rf"{name}: its channels have more than 8 bits. Save it with 8 bits a channel"):
        ImageFolder().decode(tmp_path)


@pytest.mark.parametrize("name", ["train/cats/0.png", "test/dogs/0.png"])
@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x05IHDR\x00\x00\x00\x08\x00\xde\xad\xbe\xef",
        b"P5\nx 8\n255\n",
        b"P5\n30000 30000\n255\n",
    ],
    ids=["header cut short", "size that is no number", "decompression bomb"],
)
def test_a_damaged_image_is_named_whatever_the_damage(tmp_path: Path, name: str, content: bytes) -> None:
    write_image_folders(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: not a readable image"):
        ImageFolder().decode(tmp_path)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_image_folders_are_decoded_and_grey_stays_one_channel(tmp_path: Path, mode: str, channels: int) -> None:
    images = random_images(6, 10, channels)
    for i, image in enumerate(images):
        folder = tmp_path / ("train" if i < 4 else "val") / ("cats", "dogs")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze(), mode).save(folder / f"{i}.png")
    decoded = ImageFolder().decode(tmp_path)
    assert_split(decoded, "train", images[[0, 2, 1, 3]], np.array([0, 0, 1, 1]))
    assert_split(decoded, "test", images[[4, 5]], np.array([0, 1]))
    assert decoded.classes == ("cats", "dogs")


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    for name, size in (("a", 10), ("b", 12)):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "test" / name).mkdir(parents=True)
        for split in ("train", "test"):
            Image.new("L", (size, size)).save(tmp_path / split / name / "0.png")
    with pytest.raises(DataError, match=r"train/b/0.png: the image is 12×12 pixels, expected 10×10"):
        ImageFolder().decode(tmp_path)
