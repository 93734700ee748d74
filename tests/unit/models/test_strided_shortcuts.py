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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stride", [2, 3])
def test_numbers_are_those_of_slicing_and_the_gradient_keeps_the_memory_format(dtype: torch.dtype, stride: int) -> None:
    """A slice's gradient comes in the other format, which makes the backward pass of all layers before it slow."""
    layer = convolution(Channels(8, "in"), Channels(16, "out"), 1, stride=stride, bias=False)
    layer = layer.to(dtype, memory_format=torch.channels_last)
    images = torch.randn(6, 8, 15, 15, generator=torch.Generator().manual_seed(0)).to(dtype).relu()
    pooled, sliced = (images.to(memory_format=torch.channels_last).clone().requires_grad_() for _ in range(2))
    ours, formula = layer(pooled), nn.functional.conv2d(sliced[..., ::stride, ::stride], layer.weight)
    assert torch.equal(ours, formula)
    for made in (ours, formula):
        made.square().sum().backward()
    assert torch.equal(pooled.grad, sliced.grad)
    passed_on = []
    mapped = pooled.detach().requires_grad_() * 1
    mapped.register_hook(passed_on.append)
    layer(mapped).sum().backward()
    assert passed_on[0].is_contiguous(memory_format=torch.channels_last)


def test_other_convolutions_are_torchs_own() -> None:
    wide = Channels(8, "wide")
    assert type(convolution(wide, wide, 3, stride=2)) is nn.Conv2d
    assert type(convolution(wide, wide, 1)) is nn.Conv2d
