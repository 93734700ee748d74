"""FLOPs counted from what layers see, against torch's own count of every operation."""

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mosaic_bench.fed.flops import FlopCounter
from mosaic_bench.models import DCGANDiscriminator, DCGANGenerator, UpsamplingGenerator, build

ARCHITECTURES = ["mlp", "cnn", "convnet4", "resnet8", "resnet18", "mobilenet"]
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "upsampling": (lambda: UpsamplingGenerator(channels=3, size=32, latent=20, base=4), (2, 20)),
    "dcgan": (lambda: DCGANGenerator(channels=1, size=28, latent=20, base=4), (2, 20)),
    "discriminator": (lambda: DCGANDiscriminator(channels=3, size=32, base=4), (2, 3, 32, 32)),
}


def _backward(grad: torch.Size, x: torch.Size, weight: torch.Size, *others: Any, **_: Any) -> int:
    """FLOPs of a convolution's gradients; torch's own formula counts grouped ones ``groups`` times over."""
    transposed, wanted = others[4], others[7]
    return 2 * grad[0] * prod((x if transposed else grad)[2:]) * prod(weight) * sum(wanted[:2])


def _by_torch(work: Callable[[], object]) -> int:
    formulas = {torch.ops.aten.convolution_backward: _backward}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        work()
    return int(counter.get_total_flops())


def _both(network: nn.Module, images: Tensor) -> tuple[int, int]:
    with FlopCounter() as counter:
        output = network(images)
    return counter.total, _by_torch(lambda: network(images)) + (
        _by_torch(lambda: output.sum().backward()) if output.requires_grad else 0
    )


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("width", [1.0, 0.5])
def test_training_an_architecture(arch: str, width: float) -> None:
    network = build(arch, channels=3, size=32, classes=7, width=width).train()
    counted, expected = _both(network, torch.zeros(2, 3, 32, 32))
    assert counted == expected > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_training_a_generator_and_a_discriminator(name: str) -> None:
    make, shape = NETWORKS[name]
    counted, expected = _both(make().train(), torch.zeros(shape))
    assert counted == expected > 0


@pytest.mark.parametrize("arch", ["cnn", "mobilenet"])
def test_gradients_count_where_they_are_wanted(arch: str) -> None:
    network = build(arch, channels=3, size=32, classes=7).eval()
    images = torch.zeros(2, 3, 32, 32)
    with torch.no_grad():
        forward, expected = _both(network, images)
    assert forward == expected > 0
    network.requires_grad_(False)
    assert _both(network, images) == (forward, forward)
    through, expected = _both(network, images.clone().requires_grad_())
    assert through == expected == 2 * forward


def test_outside_nothing_is_counted_and_counters_nest() -> None:
    layer, images = nn.Linear(3, 4), torch.zeros(5, 3)
    with FlopCounter() as outer:
        with FlopCounter() as inner:
            layer(input=images)
        layer(images)
    layer(images)
    one = 2 * 2 * 5 * 3 * 4
    assert (inner.total, outer.total) == (one, 2 * one)


def test_layers_with_more_arguments_count_too_and_strange_ones_do_not() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor, scale: float) -> Tensor:
            return super().forward(x) * scale

    class Pair(nn.Linear):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return x, x

    with FlopCounter() as counter:
        Scaled(3, 4)(torch.zeros(5, 3), 2.0)
        Pair(3, 4)(torch.zeros(5, 3))
    assert counter.total == 2 * 2 * 5 * 3 * 4
    with FlopCounter() as counter:
        nn.ConvTranspose2d(3, 4, 3)(torch.zeros(1, 3, 5, 5), [7, 7])
    assert counter.total == 2 * 2 * 25 * 3 * 4 * 9


def test_a_counter_ends_with_an_error() -> None:
    layer = nn.Linear(3, 4)
    with pytest.raises(RuntimeError), FlopCounter() as counter:
        layer(torch.zeros(5, 2))
    layer(torch.zeros(5, 3))
    assert counter.total == 0
