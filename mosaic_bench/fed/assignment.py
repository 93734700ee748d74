"""Which model each client trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mosaic_bench.models import width_ratios
from mosaic_bench.suite import Cell


@dataclass(frozen=True)
class ClientModel:
    """A client's architecture and the share of its width that the client can train, in (0, 1]."""

    arch: str
    width: float = 1.0


def assign(cell: Cell, samples: Sequence[int], sizes: Sequence[int]) -> list[ClientModel]:
    """Give every client its model.

    Args:
        cell: widths come from ``models.widths``, families from ``models.arch`` and ``models.assign``.
        samples: images per client; ``assign: capacity`` gives larger architectures to clients with more of them.
        sizes: parameters of each architecture of the family.
    """
    spec = cell.models
    if isinstance(spec.arch, list):
        return [ClientModel(spec.architectures[index]) for index in _family(cell, samples, sizes)]
    return [ClientModel(spec.architectures[0], width) for width in client_widths(cell)]


def client_widths(cell: Cell) -> list[float]:
    """Return the share of the server's width that each client trains; 1 for every client without budgets."""
    spec, clients = cell.models, cell.federation.clients
    if spec.widths is None:
        widths = [1.0] * clients
    elif isinstance(spec.widths, list):
        widths = list(spec.widths)
    else:
        widths = width_ratios(clients, spec.widths.rho, spec.widths.sigma)
    if spec.full_client:
        widths[0] = 1.0
    return widths


def _family(cell: Cell, samples: Sequence[int], sizes: Sequence[int]) -> list[int]:
    clients, kinds = cell.federation.clients, len(cell.models.architectures)
    if isinstance(cell.models.assign, list):
        return cell.models.assign
    in_turn = [client % kinds for client in range(clients)]
    if cell.models.assign == "cycle":
        return in_turn
    by_size = sorted(range(kinds), key=lambda kind: sizes[kind])
    by_samples = sorted(range(clients), key=lambda client: (samples[client], client))
    given = dict(zip(by_samples, sorted(in_turn), strict=True))
    return [by_size[given[client]] for client in range(clients)]
