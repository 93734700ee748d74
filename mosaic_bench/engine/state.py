"""What an algorithm keeps between steps, as plain data that a checkpoint can hold."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from math import inf
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mosaic_bench.api import Algorithm

_NOT_STATE = {"fed", "params", "_awaiting", "_made_later"}
_PLAIN = (type(None), bool, int, float, str, bytes, Tensor)
_MARK = "__state_dict__"  # tells a state dict, to be loaded, from a plain dict, to be set


class StateError(TypeError):
    """An attribute that a checkpoint could not bring back."""


@runtime_checkable
class _Stateful(Protocol):
    """Modules, optimisers, learning-rate schedulers."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class StateKeeper:
    """Collects and restores the state of one algorithm.

    Create it right after ``setup``: modules and optimisers that exist then are rebuilt by ``setup`` on a resume; those
    that ``Algorithm.module`` makes later wait for it; any other would be lost, and is refused.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._from_setup = {name: set(_places(value)) for name, value in self._attributes().items()}

    def collect(self) -> dict[str, Any]:
        """Return the state as tensors, plain values and containers of them.

        Raises:
            StateError: names the attribute that cannot be saved or would not come back.
        """
        state = {}
        for name, value in self._attributes().items():
            self._check_rebuilt(name, set(_places(value)))
            state[name] = _pack(value, f"self.{name}")
        return state | {name: _marked(waiting) for name, waiting in self._algorithm._awaiting.items()}

    def _check_rebuilt(self, name: str, places: set[tuple[Any, ...]]) -> None:
        """Refuse modules and optimisers that ``setup`` would not make again on a resume, or would make elsewhere."""
        made = self._from_setup.get(name, set())
        if not places or places == made or name in self._algorithm._made_later:
            return
        if not made:
            raise StateError(f"self.{name} was made after setup; make it there, or through self.module")
        raise StateError(
            f"self.{name} holds {len(places)} modules or optimisers, and {len(made)} or others after setup; "
            "make all of them there, or through self.module"
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Bring ``collect``'s state back into an algorithm whose ``setup`` has run."""
        present = self._attributes()
        for name, packed in state.items():
            if _is_state_dict(packed) and name not in present:
                self._algorithm._awaiting[name] = packed["state"]
            else:
                setattr(self._algorithm, name, _unpack(present.get(name), packed))

    def not_finite(self) -> str | None:
        """Name a weight or buffer of the algorithm's modules that holds NaN or infinity; None when all are finite."""
        named = [
            (f"self.{name}.{weight}", tensor)
            for name, value in self._attributes().items()
            for module in _modules(value)
            for weight, tensor in module.state_dict(keep_vars=True).items()
            if tensor.is_floating_point()
        ]
        if not named:
            return None
        finite = torch.stack([tensor.isfinite().all().cpu() for _, tensor in named])
        return None if finite.all() else named[int(finite.logical_not().nonzero()[0])][0]

    def norms(self) -> dict[str, float]:
        """Return the Euclidean norm, in float64, of every tensor of the state, by name; optimisers are left out.

        NaN counts as 0: it marks what was not measured (a weight that is NaN ends the run), and never equals itself.
        """
        named = [pair for name, value in self._attributes().items() for pair in _tensors(value, name)]
        if not named:
            return {}
        values = (tensor.detach().double().nan_to_num(nan=0.0, posinf=inf, neginf=-inf) for _, tensor in named)
        norms = torch.stack([torch.linalg.vector_norm(value).cpu() for value in values])
        return dict(zip((name for name, _ in named), norms.tolist(), strict=True))

    def _attributes(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self._algorithm).items() if name not in _NOT_STATE}


def digest(value: Any) -> str:
    """Hash packed state: tensors by type, shape and bytes, containers by what they hold, in order."""
    hashed = hashlib.sha256()
    _feed(hashed, value)
    return hashed.hexdigest()


def _feed(hashed: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        hashed.update(f"{value.dtype}{tuple(value.shape)}".encode())
        if value.numel():  # an empty tensor may have strides that no view takes
            hashed.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, dict):
        hashed.update(f"dict{len(value)}".encode())
        for key, item in value.items():
            _feed(hashed, key)
            _feed(hashed, item)
    elif isinstance(value, list | tuple):
        hashed.update(f"{type(value).__name__}{len(value)}".encode())
        for item in value:
            _feed(hashed, item)
    else:
        hashed.update(f"{value!r};".encode())


def _marked(state: Any) -> dict[str, Any]:
    return {_MARK: True, "state": state}


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_MARK) is True


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of modules and optimisers within a value: keys and indices on the way to each."""
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, (*place, key))
    elif isinstance(value, _Stateful):
        yield place


def _modules(value: Any) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(_modules, value.values()))
    elif isinstance(value, list | tuple):
        yield from itertools.chain.from_iterable(map(_modules, value))


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors of modules and containers, each under the way to it: ``servers.cnn.head.weight``."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, nn.Module):
        yield from ((f"{name}.{weight}", tensor) for weight, tensor in value.state_dict().items())
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        yield from itertools.chain.from_iterable(_tensors(item, f"{name}.{key}") for key, item in items)


def _pack(value: Any, name: str) -> Any:
    if type(value) in _PLAIN or isinstance(value, Tensor):
        return value
    if isinstance(value, _Stateful):
        return _marked(value.state_dict())
    if type(value) is dict:
        return {key: _pack(item, f"{name}[{key!r}]") for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_pack(item, f"{name}[{index}]") for index, item in enumerate(value))
    raise StateError(
        f"{name} is a {type(value).__name__}, which a checkpoint cannot hold; keep modules, optimisers, tensors, "
        "numbers, strings, and lists, tuples or dicts of them"
    )


def _unpack(present: Any, packed: Any) -> Any:
    """Load packed state into the objects that ``setup`` made; plain values replace what was there.

    A tensor that is trained keeps its identity, as an optimiser made in ``setup`` may hold it.
    """
    if _is_state_dict(packed):
        present.load_state_dict(packed["state"])
        return present
    if isinstance(packed, dict):
        made = present if isinstance(present, dict) else {}
        return {key: _unpack(made.get(key), item) for key, item in packed.items()}
    if isinstance(packed, list | tuple):
        same_length = isinstance(present, list | tuple) and len(present) == len(packed)
        olds = present if same_length else [None] * len(packed)
        return type(packed)(_unpack(old, item) for old, item in zip(olds, packed, strict=True))
    if _is_trained(present) and _is_trained(packed) and _form(present) == _form(packed):
        with torch.no_grad():
            return present.copy_(packed)
    return packed


def _is_trained(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_leaf and value.requires_grad


def _form(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype
