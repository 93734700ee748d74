"""Width slices: the part of the full model that a client with a smaller budget holds.

Three ways to choose it: static is HeteroFL (Diao et al., ICLR 2021), rolling is FedRolex (Alam et al., NeurIPS 2022),
random is Federated Dropout (Caldas et al., 2018). In all of them a channel group has one index set, which keeps
residual sums and depthwise pairs aligned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Literal, get_args

import torch
from torch import Tensor

from mosaic_bench.errors import UserError
from mosaic_bench.models.blueprint import scaled
from mosaic_bench.models.channels import Channels, channel_axes
from mosaic_bench.models.classifier import Classifier

Extraction = Literal["static", "rolling", "random"]
Index = slice | Tensor


@dataclass(frozen=True, eq=False)
class Slice:
    """Which coordinates of the full model a client holds.

    Attributes:
        kept: the channels kept of every group that is cut (int64, in the narrow model's order); empty when the slice is
            whole.
        feature_index: the full model's features that the narrow head reads, int64.
        regions: what ``indices`` looks up; empty when the slice is whole.
    """

    kept: Mapping[str, Tensor]
    feature_index: Tensor
    regions: Mapping[str, tuple[Index, ...]]

    @classmethod
    def draw(
        cls, model: Classifier, ratio: float, mode: str, t: int, generator: torch.Generator | None = None
    ) -> Slice:
        """The slice of width `ratio` in (0, 1] for step `t` (from 0): ceil(ratio·W) of every group's W channels.

        A ratio of 1 gives the whole model in every mode.

        Args:
            model: the full model, of which only the shapes matter.
            ratio: of channels kept.
            mode: static keeps the first channels; rolling the cyclic window {(j - t) mod W : j < k}, the same for every
                client, so that the windows of a step nest; random a uniform subset per group.
            t: the step, for rolling windows.
            generator: draws random subsets; the other modes don't need it.

        Raises:
            UserError: a model that does not declare its channel groups, a wrong ratio or an unknown mode.
        """
        if mode not in get_args(Extraction):
            raise UserError(f"unknown extraction {mode!r}; known: {', '.join(get_args(Extraction))}")
        if not 0 < ratio <= 1:
            raise UserError(f"a width ratio is a fraction in (0, 1], not {ratio}")
        features = torch.arange(model.feature_width)
        if ratio == 1:
            return cls({}, features, {})
        axes = _sliceable_axes(model)
        kept = {
            group: _keep(size, scaled(size, ratio), mode, t, generator) for group, size in _group_sizes(axes).items()
        }
        columns = {axis: _columns(axis, kept) for tensor_axes in axes.values() for axis in tensor_axes}
        regions = {name: _outer([columns[axis] for axis in tensor_axes]) for name, tensor_axes in axes.items()}
        return cls(kept, features[columns[axes["head.weight"][1]]], regions)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut away."""
        return not self.regions

    def indices(self, name: str) -> tuple[Index, ...]:
        """Index expression of a state tensor's kept part: read or write `full[name][slice.indices(name)]`."""
        return () if self.is_whole else self.regions[name]

    def take(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The narrow state: the parameters and buffers of the same architecture built at this width.

        Where the kept channels are consecutive the tensors are views of `state`: copy them before `state` changes.
        """
        return {name: tensor[self.indices(name)] for name, tensor in state.items()}


ROUNDING = 1e-9
"""Added before floor, since a whole ρ·i/K may come out a little below it."""


def width_ratios(clients: int, rho: float, sigma: int) -> list[float]:
    """Width budgets r_i = (1/2)^min(σ, floor(ρ·i/K)) of clients i = 1…K, the rule of the DFRD experiments.

    No client owns the full model where ρ ≥ K.
    """
    return [0.5 ** min(sigma, floor(rho * i / clients + ROUNDING)) for i in range(1, clients + 1)]


def _sliceable_axes(model: Classifier) -> dict[str, tuple[Channels, ...]]:
    """The axes of every state tensor.

    Raises:
        UserError: some tensor has none declared.
    """
    axes = channel_axes(model)
    for name in model.state_dict():
        if name not in axes:
            raise UserError(f"{type(model).__name__} can't be cut in width: it declares no channel axes for {name}")
    return axes


def _group_sizes(axes: Mapping[str, tuple[Channels, ...]]) -> dict[str, int]:
    """Size of every group, in the model's order; raises ValueError when a group has two sizes."""
    sizes: dict[str, int] = {}
    for axis in (axis for tensor_axes in axes.values() for axis in tensor_axes):
        if axis.group is not None and sizes.setdefault(axis.group, axis.size) != axis.size:
            raise ValueError(f"channel group {axis.group!r} has both {sizes[axis.group]} and {axis.size} channels")
    return sizes


def _keep(size: int, k: int, mode: str, t: int, generator: torch.Generator | None) -> Tensor:
    """The k channels kept of `size`."""
    if k == size or mode == "static":
        return torch.arange(k)
    if mode == "rolling":
        return (torch.arange(k) - t) % size
    if generator is None:
        raise ValueError("random extraction needs a generator")
    return torch.randperm(size, generator=generator)[:k].sort().values


def _columns(axis: Channels, kept: Mapping[str, Tensor]) -> Index:
    """Index of the kept channels' columns: a built-in slice, which indexes without a copy, if they are consecutive."""
    if axis.group is None:
        return slice(None)
    index = kept[axis.group]
    first, last = int(index[0]), int(index[-1])
    if torch.equal(index, torch.arange(first, first + len(index))):
        return slice(first * axis.positions, (last + 1) * axis.positions)
    return (index[:, None] * axis.positions + torch.arange(axis.positions)).flatten()


def _outer(columns: list[Index]) -> tuple[Index, ...]:
    """Index of every pairing of the (at most two) axes' columns; two index tensors alone would be paired one to one."""
    tensors = [column for column in columns if isinstance(column, Tensor)]
    return (tensors[0][:, None], tensors[1]) if len(tensors) == 2 else tuple(columns)
