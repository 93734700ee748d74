"""Generators and the discriminator: published sizes, shapes, ranges, initialisation."""

import pytest
import torch
from torch import nn

from mosaic_bench.models import (
    DCGANDiscriminator,
    DCGANGenerator,
    NormalisedImages,
    StandardisedImages,
    UpsamplingGenerator,
    init_dcgan_,
)

GENERATORS = (DCGANGenerator, UpsamplingGenerator)


@pytest.mark.parametrize(
    ("network", "parameters", "size"),
    [
        (lambda: DCGANGenerator(channels=3, size=32, latent=100), 3_573_824, 14_303_008),
        (lambda: DCGANDiscriminator(channels=3, size=32), 2_759_424, 11_044_888),
        (lambda: UpsamplingGenerator(channels=3, size=32, latent=256), 2_328_899, 9_318_180),
        (lambda: UpsamplingGenerator(channels=1, size=28, latent=256), 1_834_305, 7_339_804),
        (
            lambda: UpsamplingGenerator(channels=3, size=32, latent=100, classes=10, output=StandardisedImages(3)),
            682_499,
            2_732_612,
        ),
        (
            lambda: UpsamplingGenerator(channels=3, size=32, latent=256, classes=100, output=StandardisedImages(3)),
            1_690_115,
            6_763_076,
        ),
    ],
    ids=["mosaic", "mosaic-discriminator", "dense-rgb", "dense-grey", "fedftg-10", "fedftg-100"],
)
def test_published_parameters_and_state_bytes(network, parameters, size):
    built = network()
    assert sum(p.numel() for p in built.parameters()) == parameters
    assert sum(t.nbytes for t in built.state_dict().values()) == size


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("classes", [None, 4])
@pytest.mark.parametrize("size", [8, 15, 16, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_asked_shape(generator, classes, size, channels):
    network = generator(channels=channels, size=size, latent=6, classes=classes, base=4)
    labels = None if classes is None else torch.tensor([0, 3])
    images = network(torch.randn(2, network.latent), labels)
    assert images.shape == (2, channels, size, size)
    assert DCGANDiscriminator(channels=channels, size=size, base=4)(images).shape == (2,)


@pytest.mark.parametrize("generator", GENERATORS)
def test_labels_steer_a_conditional_generator(generator):
    network = generator(channels=1, size=8, latent=3, classes=2, base=4).eval()
    z = torch.randn(1, 3)
    zero, one = (network(z, torch.tensor([label])) for label in (0, 1))
    assert not torch.equal(zero, one)


@pytest.mark.parametrize("generator", GENERATORS)
def test_labels_must_fit_the_generator(generator):
    with pytest.raises(ValueError, match="needs labels"):
        generator(channels=1, size=8, classes=2, base=4)(torch.randn(2, 256))
    with pytest.raises(ValueError, match="takes none"):
        generator(channels=1, size=8, base=4)(torch.randn(2, 256), torch.tensor([0, 1]))


def test_default_ranges():
    z = 100 * torch.randn(8, 5)
    unit = UpsamplingGenerator(channels=1, size=8, latent=5, base=16)(z)
    signed = DCGANGenerator(channels=1, size=8, latent=5, base=16)(z)
    assert unit.min() >= 0
    assert unit.max() <= 1
    assert signed.abs().max() <= 1
    assert signed.min() < 0


def test_normalised_images_span_the_classifiers_range():
    layer = NormalisedImages(mean=(0.5, 0.25), std=(0.25, 0.5))
    black, white = (layer(torch.full((1, 2, 1, 1), raw)).flatten().tolist() for raw in (-100.0, 100.0))
    assert black == pytest.approx([-2.0, -0.5])
    assert white == pytest.approx([2.0, 1.5])
    assert not layer.state_dict()


def test_standardised_images_have_mean_zero_and_variance_one():
    images = UpsamplingGenerator(channels=3, size=8, latent=5, classes=2, base=4, output=StandardisedImages(3))(
        torch.randn(64, 5), torch.arange(64) % 2
    )
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.var((0, 2, 3), unbiased=False), torch.ones(3), atol=1e-2, rtol=0)


def test_initialisation_starts_a_network_anew():
    network = UpsamplingGenerator(channels=3, size=16, latent=20)
    network(torch.randn(8, 20))
    torch.manual_seed(0)
    init_dcgan_(network)
    norm = next(layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert network.noise.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.02)
    assert not network.noise.bias.any()
    assert not norm.running_mean.any()
    assert norm.num_batches_tracked == 0
