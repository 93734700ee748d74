"""Augmenting and batching against the training step it feeds: at most 3 % of it. Run with `pytest tests/bench`."""

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from mosaic_bench.data import Dataset, Split
from mosaic_bench.data.device import Augmentation, DeviceImages

BATCH = 64
IMAGES = 20_000


@pytest.fixture(scope="module")
def images() -> DeviceImages:
    pixels = np.random.RandomState(0).randint(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    split = Split(pixels, np.arange(IMAGES) % 10)
    statistics = ((0.5,) * 3, (0.25,) * 3)
    return DeviceImages(split, Dataset("own", split, split, tuple("0123456789"), *statistics, True, ""), "cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("augmented", [True, False], ids=["augmented", "plain"])
def test_one_batch_of_64_colour_images(benchmark: BenchmarkFixture, images: DeviceImages, augmented: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(IMAGES, generator=generator)
    draws = Augmentation(flip=True).draw(IMAGES, generator)
    batches = iter(range(10**9))

    def next_batch() -> torch.Tensor:
        start = BATCH * (next(batches) % (IMAGES // BATCH))
        part = slice(start, start + BATCH)
        return images.batch(order[part], draws[part] if augmented else None)

    benchmark(next_batch)


def test_the_draws_of_an_epoch(benchmark: BenchmarkFixture) -> None:
    augmentation = Augmentation(flip=True)
    benchmark(augmentation.draw, IMAGES, torch.Generator().manual_seed(0))


def test_the_training_step_it_is_compared_with(benchmark: BenchmarkFixture, images: DeviceImages) -> None:
    """A ResNet-8 (16, 32, 64 channels) in fp32, channels last."""
    from mosaic_bench.models import build

    model = build("resnet8", channels=3, classes=10, size=32).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    batch, labels = images.batch(torch.arange(BATCH)), images.labels[:BATCH]

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), labels).backward()
        optimiser.step()

    benchmark(step)
