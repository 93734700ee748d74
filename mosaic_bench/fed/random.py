"""Draws for algorithms: named, stateless, and placed where the cell computes."""

from __future__ import annotations

import torch
from torch import Tensor


class Random:
    """Draws from one seeded generator. Values are made on the CPU, so that they are the same on every device.

    Args:
        generator: a CPU generator.
        device: where the tensors are wanted.
    """

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self.generator = generator
        self._device = device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, float32."""
        return self._place(torch.randn(*shape, generator=self.generator))

    def uniform(self, *shape: int) -> Tensor:
        """Uniform on [0, 1), float32."""
        return self._place(torch.rand(*shape, generator=self.generator))

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform on {0, ..., high - 1}, int64."""
        return self._place(torch.randint(high, shape, generator=self.generator))

    def weighted(self, weights: Tensor, n: int) -> Tensor:
        """n positions in ``weights``, drawn with replacement and with probabilities in proportion to them, int64.

        Args:
            weights: not negative, not all 0, of any type; a position of weight 0 is never drawn.
        """
        ends = weights.double().cumsum(0)
        return torch.searchsorted(ends, self.uniform(n).double() * ends[-1], right=True)

    def permutation(self, n: int) -> Tensor:
        """A permutation of {0, ..., n - 1}, int64."""
        return self._place(torch.randperm(n, generator=self.generator))

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)
