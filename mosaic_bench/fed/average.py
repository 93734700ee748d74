"""The weighted average of client models, coordinate by coordinate over the clients that hold the coordinate."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor

from mosaic_bench.models.submodel import Index, Slice


class CoverageAverage:
    """Streaming average θ[j] = Σ w_k θ_k[j] / Σ w_k over the clients k that cover coordinate j.

    Of whole models with w_k = n_k this is FedAvg (McMahan et al., AISTATS 2017); of slices it is the aggregation of
    HeteroFL and FedRolex, which use w_k = 1. Floating tensors, BatchNorm running statistics among them, are summed in
    float64 in the order added, on the reference's device; integer tensors (BatchNorm counters) keep the largest value.
    Coordinates that nobody covers keep the reference's value exactly. NaN and infinity reach the coordinates they were
    sent for. Between calls only the sums are held, never an update.

    Args:
        reference: the full state that will be replaced. It is read again by ``result``; leave it unchanged until then.
    """

    def __init__(self, reference: Mapping[str, Tensor]) -> None:
        self._reference = reference
        self._sums: dict[str, Tensor] = {}
        self._maxima: dict[str, Tensor] = {}
        for name, tensor in reference.items():
            if tensor.is_floating_point():
                self._sums[name] = torch.zeros_like(tensor, dtype=torch.float64)
            else:
                self._maxima[name] = tensor.clone()
        self._whole_weight = 0.0  # of the clients that cover every coordinate: most federations need nothing more
        self._sliced_weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, state: Mapping[str, Tensor], weight: float, slice: Slice | None = None) -> None:
        """Add a client's state.

        Args:
            state: of the whole model, or the narrow one that ``slice`` takes of it.
            weight: finite and not negative, usually the client's number of samples; a client of weight 0 is left out.
            slice: the client's part of the model; None for the whole.

        Raises:
            ValueError: another weight, or names or shapes that don't fit the reference.
        """
        if not (isfinite(weight) and weight >= 0):
            raise ValueError(f"a client's weight must be finite and not negative, not {weight}")
        if state.keys() != self._reference.keys():
            raise ValueError(f"an update differs from the model in {sorted(state.keys() ^ self._reference.keys())}")
        if weight == 0:
            return
        whole = slice is None or slice.is_whole
        if whole:
            self._whole_weight += weight
        for name, tensor in state.items():
            index = slice.indices(name) if slice is not None else ()
            if name in self._maxima:
                self._maxima[name][index] = torch.maximum(self._maxima[name][index], tensor)
                continue
            self._add_to_sum(name, index, tensor, weight)
            if not whole:
                self._weights_per_coordinate(name, len(index))[index] += weight

    def result(self) -> dict[str, Tensor]:
        """The averaged state, with the reference's names, dtypes and devices.

        Raises:
            ValueError: no client of positive weight was added.
        """
        if self._whole_weight == 0 and not self._sliced_weights:
            raise ValueError("there is nothing to average: no client has a positive weight")
        return {name: self._averaged(name) if name in self._sums else self._maxima[name] for name in self._reference}

    def _add_to_sum(self, name: str, index: tuple[Index, ...], tensor: Tensor, weight: float) -> None:
        part = self._sums[name][index]
        if part.shape != tensor.shape:  # broadcasting would hide it
            raise ValueError(f"{name} of an update has shape {tuple(tensor.shape)}, expected {tuple(part.shape)}")
        part.add_(tensor, alpha=weight)
        if any(isinstance(axis, Tensor) for axis in index):  # indexing by tensors copies, by slices it gives a view
            self._sums[name][index] = part

    def _weights_per_coordinate(self, name: str, axes: int) -> Tensor:
        """Weights of the sliced clients; kernel axes, which are never cut, have length 1."""
        if name not in self._sliced_weights:
            total = self._sums[name]
            shape = total.shape[:axes] + (1,) * (total.dim() - axes)
            self._sliced_weights[name] = total.new_zeros(shape)
        return self._sliced_weights[name]

    def _averaged(self, name: str) -> Tensor:
        reference = self._reference[name]
        if name not in self._sliced_weights:
            return (self._sums[name] / self._whole_weight).to(reference.dtype)
        weights = self._sliced_weights[name] + self._whole_weight
        return torch.where(weights > 0, (self._sums[name] / weights).to(reference.dtype), reference)
