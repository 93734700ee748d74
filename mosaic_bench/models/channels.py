"""Channel groups: which axes of a model's tensors shrink together when the model is cut in width.

A layer says which :class:`Channels` it reads and writes; channels that are added together (a residual stage and its
shortcuts) or paired (a depthwise convolution) are the *same* object, so one index set keeps them aligned. The helpers
below build the usual layers with that said; :func:`declare_axes` says it for any other module.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
_AXES = "channel_axes"


@dataclass(frozen=True)
class Channels:
    """One axis of a tensor.

    Attributes:
        size: channels of the model at hand.
        group: the name under which they are cut; None for axes that never are (image channels, logits).
        positions: consecutive columns each channel occupies, H·W after a flatten and 1 elsewhere.
    """

    size: int
    group: str | None = None
    positions: int = 1

    @property
    def columns(self) -> int:
        """Length of the axis."""
        return self.size * self.positions

    def flattened(self, positions: int) -> Channels:
        """The same channels after a flatten of maps with this many positions (H·W)."""
        return replace(self, positions=positions)


def declare_axes(module: M, **axes: tuple[Channels, ...]) -> M:
    """Record the leading axes, at most two, of the module's own parameters and buffers by name; return the module.

    Axes left out at the end (kernel height and width) are never cut.

    Raises:
        ValueError: more than two axes.
    """
    if any(len(tensor_axes) > 2 for tensor_axes in axes.values()):
        raise ValueError(f"{type(module).__name__}: a tensor can be cut along two axes at most")
    setattr(module, _AXES, axes)
    return module


def channel_axes(model: nn.Module) -> dict[str, tuple[Channels, ...]]:
    """Declared axes of every tensor of `model.state_dict()` that has some, by state name.

    Raises:
        ValueError: a declaration contradicts the tensor's shape.
    """
    state = model.state_dict()
    found: dict[str, tuple[Channels, ...]] = {}
    for path, module in model.named_modules():
        for name, axes in getattr(module, _AXES, {}).items():
            key = f"{path}.{name}" if path else name
            if key not in state:  # a layer without bias
                continue
            lengths = tuple(axis.columns for axis in axes)
            if lengths != tuple(state[key].shape[: len(axes)]):
                raise ValueError(f"{key} has shape {tuple(state[key].shape)} but its axes are declared as {lengths}")
            found[key] = axes
    return found


def convolution(
    source: Channels, target: Channels, kernel: int, *, stride: int = 1, bias: bool = True, depthwise: bool = False
) -> nn.Conv2d:
    """Square convolution with "same" padding (odd kernels). A depthwise one has `source == target`."""
    kind = SteppedPointwise if kernel == 1 and stride > 1 else nn.Conv2d
    layer = kind(
        source.size,
        target.size,
        kernel,
        stride,
        padding=kernel // 2,
        groups=source.size if depthwise else 1,
        bias=bias,
    )
    return declare_axes(layer, weight=(target,) if depthwise else (target, source), bias=(target,))


class SteppedPointwise(nn.Conv2d):
    """A 1×1 convolution with a stride, computed as one without a stride on every stride-th pixel: the same numbers.

    On CPUs oneDNN's own strided one writes past its workspace when it computes the gradient of the weights of fewer
    input channels than a vector register holds (oneDNN issue 6035): wrong gradients, crashes, hangs.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps (N, source, H, W) -> (N, target, ⌈H / stride⌉, ⌈W / stride⌉)."""
        # "Pooling" single pixels is slicing, but its gradient comes in the memory format of the maps; that of a slice
        # does not, and slows every layer before: a tenth of a ResNet-8's step.
        every_nth = nn.functional.avg_pool2d(input, 1, self.stride)
        return nn.functional.conv2d(every_nth, self.weight, self.bias)


def linear(source: Channels, target: Channels) -> nn.Linear:
    """Linear layer; `source` may be flattened maps."""
    return declare_axes(nn.Linear(source.columns, target.size), weight=(target, source), bias=(target,))
