"""FLOPs of the layers that run, counted from the shapes they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)


class FlopCounter:
    """Counts the FLOPs of every convolution and linear layer that is called while it is entered.

    A layer of m multiply-adds counts 2m for its forward pass, and 2m more for each gradient that it will be asked for:
    that of its input and that of its weight. Backward passes are counted when the forward pass runs, on the assumption
    that one follows. Everything else (norms, activations, attention, losses, optimisers, k-means, what is called as a
    function) does not count.

    Attributes:
        total: FLOPs so far.
    """

    def __init__(self) -> None:
        self.total = 0

    def __enter__(self) -> FlopCounter:
        """Begin to count."""
        self._hook = register_module_forward_hook(self._count, with_kwargs=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._hook.remove()

    def _count(self, layer: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> None:
        images = next(iter((*args, *named.values())), None)
        if not isinstance(layer, _LAYERS) or not isinstance(images, Tensor) or not isinstance(output, Tensor):
            return
        seen = images if isinstance(layer, _TRANSPOSED) else output
        positions = seen.numel() // layer.weight.shape[0]  # where the whole weight is applied once
        gradients = output.requires_grad * (images.requires_grad + layer.weight.requires_grad)
        self.total += 2 * positions * layer.weight.numel() * (1 + gradients)
