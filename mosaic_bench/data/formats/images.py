"""Decoding many image files into one array."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from mosaic_bench.data.errors import DataError
from mosaic_bench.data.formats.base import damaged

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp"})


def image_files(folder: Path) -> list[Path]:
    """The image files directly inside `folder`, sorted by name; hidden ones are left out."""
    return [path for path in visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES]


def image_tree(folder: Path) -> list[Path]:
    """The image files of `folder`, then those of each of its sub-folders, which are entered unless hidden or links."""
    files: list[Path] = []
    for inner, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += image_files(Path(inner))
    return files


def visible(folder: Path) -> list[Path]:
    """What lies in `folder`, sorted, without `.ipynb_checkpoints`, macOS's `._*` and the like."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def open_image(path: Path) -> Image.Image:
    """One image, decoded, in the colour mode of its file.

    Raises:
        DataError: naming the file, if it is missing, damaged, or of more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            deep = _is_deep(image)
            image.load()
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    # A damaged image fails in whatever its next chunk happens to be.
    except Exception as error:
        raise damaged(path, f"not a readable image ({error})") from error
    if deep:
        raise DataError(f"{path}: its channels have more than 8 bits. Save it with 8 bits a channel.")
    return image


def _is_deep(image: ImageFile) -> bool:
    """Whether channels have more than 8 bits; of an image that is not decoded yet, since decoding cuts them."""
    if image.mode.startswith(("I", "F")):
        return True
    layouts = [tile[3] for tile in image.tile]
    highest = [layout[1] for layout in layouts if isinstance(layout, tuple) and image.format == "PPM"]
    return any(";16" in str(layout) for layout in layouts) or any(value > 255 for value in highest)


def read_images(paths: Sequence[Path], size: int, mode: str = "RGB", crop: bool = False) -> np.ndarray:
    """Decode image files into one tensor.

    Args:
        paths: the files, at least one.
        size: height and width of the result, in pixels.
        mode: Pillow's colour mode, "RGB" or "L" (grey).
        crop: scale the shorter side to `size` with antialiasing and cut the centre square, as torchvision's Resize and
            CenterCrop do; otherwise a file of another size is refused.

    Returns:
        uint8, shape (N, size, size, 3 or 1).

    Raises:
        DataError: naming the first file that is missing, damaged, of the wrong size or of more than 8 bits a channel.
    """
    images = np.empty((len(paths), size, size, len(mode) if mode == "RGB" else 1), dtype=np.uint8)

    def read_into(position: int) -> None:
        images[position] = _read_image(paths[position], size, mode, crop)

    # Pillow decodes and resizes without holding the interpreter lock, so threads use every core.
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(read_into, range(len(paths))):
            pass
    return images


def _read_image(path: Path, size: int, mode: str, crop: bool) -> np.ndarray:
    image = open_image(path).convert(mode)
    if crop:
        image = _centre_square(image, size)
    elif image.size != (size, size):
        width, height = image.size
        raise damaged(path, f"the image is {width}×{height} pixels, expected {size}×{size}")
    return np.asarray(image).reshape(size, size, -1)


def _centre_square(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    shorter = min(width, height)
    width, height = int(size * width / shorter), int(size * height / shorter)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))
