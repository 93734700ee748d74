"""The services with an observer in between, who notes what an algorithm does with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mosaic_bench.api import Federation, Received, Update, Updates
from mosaic_bench.models import Classifier


class ObservedServices:
    """Passes every public service on.

    Args:
        fed: the services.

    Attributes:
        trained: step -> clients that trained in it, in order.
        strangers: clients that started step 0 from other weights than every method starts from.
        private: names of the harness's own attributes that the algorithm reached for.
    """

    def __init__(self, fed: Federation) -> None:
        self.trained: dict[int, list[int]] = {}
        self.strangers: list[int] = []
        self.private: list[str] = []
        self._fed = fed
        self._t = 0
        self._built: list[tuple[Classifier, dict[str, Tensor]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            self.private.append(name)
        return getattr(self._fed, name)

    def begin(self, t: int) -> None:
        """Enter step ``t``."""
        self._t = t
        self._fed.begin(t)

    def train(self, received: Iterable[Received], *args: Any, **options: Any) -> Updates:
        """Train, noting who starts from what, and every model that is built from an update."""
        return Updates(self._watched(self._fed.train(self._noted(received), *args, **options)))

    def altered_models(self) -> int:
        """Count models built from updates whose parameters or buffers are no longer what the client uploaded."""
        return sum(
            any(not torch.equal(tensor, uploaded[name]) for name, tensor in model.state_dict().items())
            for model, uploaded in self._built
        )

    def _noted(self, received: Iterable[Received]) -> Iterator[Received]:
        for item in received:
            self.trained.setdefault(self._t, []).append(item.client)
            if self._t == 0 and not self._is_initial(item):
                self.strangers.append(item.client)
            yield item

    def _is_initial(self, item: Received) -> bool:
        if item.stays:
            expected = dict(self._fed.model(client=item.client).state_dict())
        else:
            whole = self._fed.model(item.arch).state_dict()
            expected = item.slice.take(whole) if item.slice else dict(whole)
        return all(torch.equal(tensor, expected[name]) for name, tensor in item.state.items())

    def _watched(self, updates: Updates) -> Iterator[Update]:
        for update in updates:

            def build(update: Update = update) -> Classifier:
                model = update.build()
                self._built.append((model, update.copy().state))  # type: ignore[arg-type]
                return model

            yield replace(update, build=build)
