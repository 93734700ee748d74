"""What was measured before, kept in the cache folder: per numeric environment and cost shape."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from itertools import starmap
from math import inf
from typing import Any

from filelock import FileLock

from mosaic_bench.data.locate import cache_directory
from mosaic_bench.engine.costs.cost import Basis, Cost
from mosaic_bench.engine.costs.flops import ModelSize
from mosaic_bench.engine.resolve import fingerprint
from mosaic_bench.store.atomic import replace_json

_MODELS = "models"  # the part of the file that is no environment's


class CostBook:
    """Remembered costs of cells and sizes of models.

    A file that cannot be written, or in which something is damaged, costs a measurement, never a run.

    Args:
        numeric: the numeric environment that the costs belong to.
    """

    def __init__(self, numeric: Mapping[str, Any]) -> None:
        self._file = cache_directory() / "costs-1.json"  # another number when entries change their form
        self._environment = fingerprint(numeric)
        content = self._read()
        self._costs: dict[str, Any] = content.get(self._environment, {})
        self._models: dict[str, Any] = content.get(_MODELS, {})
        self._new: dict[str, dict[str, Any]] = {self._environment: {}, _MODELS: {}}

    def cost(self, shape: str) -> Cost | None:
        """Return what a cell of this shape costs, as far as it was measured before."""
        stored = self._costs.get(shape)
        return None if stored is None else Cost(**{**stored, "basis": Basis(stored["basis"])})

    def remember(self, shape: str, cost: Cost) -> None:
        """Note a measurement."""
        if self.cost(shape) != cost:
            self._costs[shape] = self._new[self._environment][shape] = {**asdict(cost), "basis": cost.basis.value}

    def model(self, name: str, measure: Callable[[], ModelSize]) -> ModelSize:
        """Return the size of a model, measured once."""
        if name not in self._models:
            self._models[name] = self._new[_MODELS][name] = asdict(measure())
        return ModelSize(**self._models[name])

    def save(self) -> None:
        """Add what is new to the file, beside what other processes added meanwhile."""
        if not any(self._new.values()):
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._file}.lock"):
                content = self._read()
                for part, entries in self._new.items():
                    content[part] = content.get(part, {}) | entries
                replace_json(self._file, content)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        parts = content.items() if isinstance(content, dict) else ()
        return {name: _whole(part, ModelSize if name == _MODELS else Cost) for name, part in parts}


def _whole(part: Any, kind: type[Cost | ModelSize]) -> dict[str, Any]:
    """The entries of which a ``kind`` can be made."""
    names, entries = {field.name for field in fields(kind)}, part.items() if isinstance(part, dict) else ()
    return {
        key: entry
        for key, entry in entries
        if isinstance(entry, dict) and entry.keys() == names and all(starmap(_is_sound, entry.items()))
    }


def _is_sound(name: str, value: Any) -> bool:
    if name == "basis":
        return value in list(Basis)
    return isinstance(value, int | float) and 0 <= value < inf
