"""1×1 convolutions with a stride: right gradients for few channels, where the library's own kernel has wrong ones."""

import pytest
import torch
from torch import nn

from mosaic_bench.models.channels import Channels, SteppedPointwise, convolution


@pytest.mark.parametrize(("channels", "size"), [(4, 12), (8, 16), (8, 15), (32, 6)])
def test_gradients_are_those_of_the_formula(channels: int, size: int) -> None:
    layer = convolution(Channels(channels, "in"), Channels(2 * channels, "out"), 1, stride=2, bias=False)
    assert isinstance(layer, SteppedPointwise)
    layer = layer.to(memory_format=torch.channels_last)
    images = torch.randn(15, channels, size, size, generator=torch.Generator().manual_seed(0))
    target = torch.randn(15, 2 * channels, -(-size // 2), -(-size // 2), generator=torch.Generator().manual_seed(1))
    for _ in range(20):  # one call is not enough to be caught by a workspace that overflows
        layer.zero_grad()
        made = layer(images.to(memory_format=torch.channels_last))
        (made * target).sum().backward()
    stepped = images.double()[..., ::2, ::2]
    torch.testing.assert_close(
        made.double(), torch.einsum("oi,nihw->nohw", layer.weight[..., 0, 0].double(), stepped), rtol=1e-4, atol=1e-4
    )
    expected = torch.einsum("nohw,nihw->oi", target.double(), stepped)
    torch.testing.assert_close(layer.weight.grad[..., 0, 0].double(), expected, rtol=1e-3, atol=1e-3)


def test_other_convolutions_are_torchs_own() -> None:
    wide = Channels(8, "wide")
    assert type(convolution(wide, wide, 3, stride=2)) is nn.Conv2d
    assert type(convolution(wide, wide, 1)) is nn.Conv2d
