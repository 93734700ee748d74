"""Batches on the device: exact pixels, torchvision's distribution, no copy of the data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published import random_images
from torchvision.transforms import v2

from mosaic_bench.data import Dataset, Split, open_dataset
from mosaic_bench.data.device import Augmentation, DeviceImages, Draws, augment

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def colour(n: int = 50, size: int = 32) -> Dataset:
    split = Split(random_images(n, size, 3), np.arange(n) % 10)
    return Dataset("own", split, split, tuple("0123456789"), MEAN, STD, flip=True, digest="0" * 32)


def raw(dataset: Dataset, batch: torch.Tensor) -> torch.Tensor:
    """Pixel values of a normalised batch, uint8 (B, C, H, W)."""
    std, mean = (torch.tensor(values).view(-1, 1, 1) for values in (dataset.std, dataset.mean))
    return ((batch * std + mean) * 255).round().to(torch.uint8)


def test_batches_are_normalised_as_torchvision_does_and_channels_last() -> None:
    dataset = colour()
    batch = DeviceImages(dataset.train, dataset, "cpu").batch(torch.tensor([3, 0, 3]))
    pictures = torch.from_numpy(dataset.train.images[[3, 0, 3]]).permute(0, 3, 1, 2)
    expected = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])(pictures)
    torch.testing.assert_close(batch, expected, atol=1e-5, rtol=0)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.dtype == torch.float32


def test_batches_come_in_the_type_asked_for() -> None:
    dataset = colour()
    images = DeviceImages(dataset.train, dataset, "cpu")
    half = images.batch(torch.arange(4), dtype=torch.bfloat16)
    torch.testing.assert_close(half, images.batch(torch.arange(4)).bfloat16())
    assert half.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [28, 32, 64])
def test_every_sample_gets_its_own_crop_and_mirror_image(size: int) -> None:
    dataset = colour(size=size)
    n, pad = 50, 4
    draws = Augmentation(pad, flip=True).draw(n, torch.Generator().manual_seed(0))
    assert draws.mirrored is not None
    found = raw(dataset, DeviceImages(dataset.train, dataset, "cpu").batch(torch.arange(n), draws))
    for i in range(n):
        image = dataset.train.images[i]
        image = image[:, ::-1] if draws.mirrored[i] else image
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
        top, left = int(draws.top[i]), int(draws.left[i])
        expected = padded[top : top + size, left : left + size].transpose(2, 0, 1)
        np.testing.assert_array_equal(found[i], expected)
    assert len(set(zip(draws.top.tolist(), draws.left.tolist(), strict=True))) > 10


def test_crops_and_mirror_images_have_torchvisions_distribution() -> None:
    """Each pixel of one image, averaged over many augmentations, against torchvision's RandomCrop and flip."""
    dataset = replace(colour(n=1, size=8), mean=(0.0,) * 3, std=(1.0,) * 3)
    n, pad = 6000, 4
    draws = Augmentation(pad, flip=True).draw(n, torch.Generator().manual_seed(0))
    ours = DeviceImages(dataset.train, dataset, "cpu").batch(torch.zeros(n, dtype=torch.int64), draws)
    torch.manual_seed(0)
    transform = v2.Compose(
        [v2.RandomCrop(8, padding=pad), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
    )
    picture = torch.from_numpy(dataset.train.images[0]).permute(2, 0, 1)
    theirs = torch.stack([transform(picture) for _ in range(n)])
    # The mean of n draws of a number in [0, 1] strays by 0.5 / √n at most; 5 such deviations of two means.
    tolerance = 5 * 0.5 * (2 / n) ** 0.5
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=tolerance, rtol=0)
    torch.testing.assert_close((ours**2).mean(0), (theirs**2).mean(0), atol=tolerance, rtol=0)


def test_offsets_cover_their_whole_range_evenly() -> None:
    draws = Augmentation(pad=4, flip=True).draw(90_000, torch.Generator().manual_seed(0))
    assert draws.mirrored is not None
    for offsets in (draws.top, draws.left):
        counts = torch.bincount(offsets)
        assert len(counts) == 9
        assert (counts - 10_000).abs().max() < 500
    assert abs(draws.mirrored.float().mean() - 0.5) < 0.01


def test_digits_are_never_mirrored(tmp_path: Path) -> None:
    augmentation = Augmentation.standard(open_dataset("digits", [], tmp_path))
    assert augmentation is not None
    assert augmentation.draw(100, torch.Generator().manual_seed(0)).mirrored is None


def test_standard_augmentation_crops_an_eighth() -> None:
    assert Augmentation.standard(colour(size=32)) == Augmentation(pad=4, flip=True)
    assert Augmentation.standard(colour(size=64)) == Augmentation(pad=8, flip=True)


def test_points_in_the_plane_are_batched_as_they_are(tmp_path: Path) -> None:
    dataset = open_dataset("toy2d", [], tmp_path)
    batch = DeviceImages(dataset.train, dataset, "cpu").batch(torch.arange(5))
    np.testing.assert_array_equal(batch.flatten(1), dataset.train.images[:5, 0, 0])
    assert Augmentation.standard(dataset) is None


def test_the_draws_of_a_batch_are_a_slice_of_those_of_the_epoch() -> None:
    dataset = colour()
    images = DeviceImages(dataset.train, dataset, "cpu")
    draws = Augmentation(flip=True).draw(50, torch.Generator().manual_seed(0))
    whole = images.batch(torch.arange(50), draws)
    parts = [images.batch(torch.arange(start, start + 25), draws[start : start + 25]) for start in (0, 25)]
    assert torch.equal(torch.cat(parts), whole)
    assert len(draws[:25]) == 25


def test_augmenting_with_gradients_gives_the_same_pixels_and_sends_every_gradient_home() -> None:
    images = torch.rand(6, 12, 12, 2, generator=torch.Generator().manual_seed(0))
    draws = Augmentation(pad=2, flip=True).draw(6, torch.Generator().manual_seed(1))
    with_gradient = images.clone().requires_grad_()
    moved = augment(with_gradient, draws)
    assert torch.equal(moved, augment(images, draws))
    moved.sum().backward()
    assert torch.equal(with_gradient.grad.sum(), (augment(torch.ones_like(images), draws)).sum())
    assert set(with_gradient.grad.unique().tolist()) <= {0.0, 1.0}  # every pixel shows once, or was cut off


def test_on_the_cpu_the_data_set_is_not_copied(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    dataset = open_dataset("digits", [], tmp_path)
    images = DeviceImages(dataset.train, dataset, "cpu")
    assert images.images.data_ptr() == dataset.train.images.ctypes.data
    assert len(recwarn) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_batches_without_waiting_for_the_host() -> None:
    dataset = colour()
    draws = Augmentation(flip=True).draw(50, torch.Generator().manual_seed(0))
    on_gpu = DeviceImages(dataset.train, dataset, "cuda")
    indices, moved = torch.arange(50, device="cuda"), draws.to(torch.device("cuda"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = on_gpu.batch(indices, moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = DeviceImages(dataset.train, dataset, "cpu").batch(torch.arange(50), draws)
    torch.testing.assert_close(batch.cpu(), expected)


def test_draws_move_between_devices_unchanged() -> None:
    draws = Draws(2, torch.arange(3), torch.arange(3), None)
    assert draws.to(torch.device("cpu")).mirrored is None
