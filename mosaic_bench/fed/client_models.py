"""The clients' models: built fresh, cut to width, and one scratch copy of each kind to train in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property

import torch
from torch import Tensor

from mosaic_bench.fed.assignment import ClientModel, assign
from mosaic_bench.fed.seeds import generator, seeded
from mosaic_bench.fed.task import Task
from mosaic_bench.fed.update import Received
from mosaic_bench.models import Classifier, Slice, build
from mosaic_bench.suite import Cell


class ClientModels:
    """Which model each client trains, and the models themselves.

    Args:
        cell: the experiment.
        task: shape of its images.
        device: where models live.
        samples: images per client.
    """

    def __init__(self, cell: Cell, task: Task, device: torch.device, samples: list[int]) -> None:
        self._cell, self._task, self._device, self._samples = cell, task, device, samples
        self.scratch = cache(self.build)

    def of(self, client: int) -> ClientModel:
        """Return the architecture and width that a client trains."""
        return self._assigned[client]

    def build(self, model: ClientModel) -> Classifier:
        """Return a fresh model; its weights depend on the cell's seed, the architecture and the width alone."""
        width = model.width * self._cell.models.width
        shape = {"channels": self._task.channels, "size": self._task.size, "classes": self._task.classes}
        with seeded(self._cell.seed, "weights", arch=model.arch, width=str(width)):
            built = build(model.arch, **shape, width=width, norm=self._cell.models.norm)
        return built.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def slice(self, model: Classifier, client: int, t: int) -> Slice | None:
        """Draw the part of the server's ``model`` that a client trains in step ``t``; None for the whole."""
        width = self.of(client).width
        if width == 1.0:
            return None
        random = generator(self._cell.seed, "slice", client=client, t=t)
        return Slice.draw(model, width, self._cell.models.extract, t, random)

    def load(self, received: Received) -> Classifier:
        """Copy what a client received into the scratch model of its kind, and return that.

        Raises:
            ValueError: another architecture or width than the client's own.
        """
        kind = self.of(received.client)
        model = self.scratch(kind)
        own = model.state_dict()
        if received.arch != kind.arch or not _same_shapes(own, received.state):
            raise ValueError(
                f"client {received.client} trains {kind.arch} at width {kind.width:g}, but was given another model"
            )
        for name, tensor in own.items():
            tensor.copy_(received.state[name], non_blocking=True)
        return model

    @cached_property
    def _assigned(self) -> list[ClientModel]:
        by_capacity = self._cell.models.assign == "capacity"
        archs = self._cell.models.architectures if by_capacity else []
        sizes = [sum(p.numel() for p in self.build(ClientModel(arch)).parameters()) for arch in archs]
        return assign(self._cell, self._samples, sizes)


def _same_shapes(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    return own.keys() == given.keys() and all(tensor.shape == given[name].shape for name, tensor in own.items())
