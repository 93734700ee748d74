"""What crosses between server and clients: what a client receives, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from mosaic_bench.models import Classifier, Slice


@dataclass(frozen=True)
class Received:
    """What one client starts a step from: sent by the server, or its own from before.

    Attributes:
        client: index of the client, 0 to K - 1.
        arch: architecture of the client's model.
        slice: the coordinates of the server's model that the client holds; None for the whole model.
        state: parameters and buffers of the client's model; shared with the server, never written to.
        payload: whatever the method sends beside, by kind (a generator, say).
        stays: the model never leaves the client; its bytes are not counted.
    """

    client: int
    arch: str
    slice: Slice | None
    state: Mapping[str, Tensor]
    payload: Mapping[str, Any] = field(default_factory=dict)
    stays: bool = False


@dataclass(frozen=True)
class Update:
    """What a client hands back after local training.

    Attributes:
        client: index of the client.
        arch: architecture of its model.
        slice: the coordinates of the server's model it trained; None for the whole model.
        state: trained parameters and buffers. Valid until the next update of the stream, unless kept.
        samples: the client's number of images.
        loss: mean training loss over the client's minibatches, a scalar tensor on the device.
        build: makes a fresh model of the client's architecture and width.
    """

    client: int
    arch: str
    slice: Slice | None
    state: Mapping[str, Tensor]
    samples: int
    loss: Tensor
    build: Callable[[], Classifier] = field(repr=False)

    def model(self) -> Classifier:
        """Return the client's model in eval mode, with a copy of the trained weights."""
        model = self.build()
        model.load_state_dict(self.state)
        return model.eval()

    def copy(self) -> Update:
        """Return an update that owns its tensors."""
        return replace(self, state={name: tensor.clone() for name, tensor in self.state.items()})


class Updates:
    """Updates, one at a time and once: clients share one scratch model, so memory does not grow with their number."""

    def __init__(self, stream: Iterator[Update]) -> None:
        self._stream: Iterator[Update] | None = stream

    def __iter__(self) -> Iterator[Update]:
        if self._stream is None:
            raise RuntimeError("updates are a stream that is read once; call .keep() first to read them again")
        stream, self._stream = self._stream, None
        return stream

    def keep(self) -> list[Update]:
        """Train every client and return updates that own their tensors."""
        return [update.copy() for update in self]
