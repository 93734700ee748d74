"""Readers of published on-disk formats, one per file. None of them downloads, caches or normalises."""

from mosaic_bench.data.formats.base import Decoded, Format
from mosaic_bench.data.formats.cifar import Cifar
from mosaic_bench.data.formats.digits import Digits
from mosaic_bench.data.formats.food101 import Food101
from mosaic_bench.data.formats.idx import Idx
from mosaic_bench.data.formats.image_folder import ImageFolder
from mosaic_bench.data.formats.npz import Npz
from mosaic_bench.data.formats.svhn import Svhn
from mosaic_bench.data.formats.tiny_imagenet import TinyImageNet
from mosaic_bench.data.formats.toy2d import Toy2d

__all__ = [
    "Cifar",
    "Decoded",
    "Digits",
    "Food101",
    "Format",
    "Idx",
    "ImageFolder",
    "Npz",
    "Svhn",
    "TinyImageNet",
    "Toy2d",
]
