"""How near a client's generated images come to the images they were made from: a measurement, no guarantee."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mosaic_bench.data.device import DeviceImages
from mosaic_bench.fed.seeds import generator

SAMPLES = 200
"""Generated images of each client that are looked at, and at most as many of its own."""


def privacy(
    samples: Mapping[int, Tensor],
    train: DeviceImages,
    clients: list[Tensor],
    held: tuple[DeviceImages, Tensor],
    seed: int,
) -> dict[str, float]:
    """Return the means over clients of two measures in pixel space, each 'no sign of memory' at its neutral value.

    ``privacy/nearest``: median distance of generated images to the nearest of the client's images, over the same to
    equally many held-out images of the same classes; 1 is neutral, 0 is a copy. ``privacy/membership``: area under the
    curve of the attack that takes an image for the client's own the nearer it lies to a generated one; .5 is neutral.

    Args:
        samples: client -> normalised images (n, C, H, W).
        train, clients: training images, and each client's positions among them.
        held: images, and positions of those that no client holds.
        seed: of the cell.
    """
    results = []
    for client, images in samples.items():
        random = generator(seed, "privacy", client=client)
        own, other = matched(train.labels[clients[client]], held[0].labels[held[1]], random)
        if len(own):
            members, others = train.batch(clients[client][own]), held[0].batch(held[1][other])
            results.append(leakage(images, members, others))
    if not results:
        return {}
    nearest, membership = zip(*results, strict=True)
    return {"privacy/nearest": fmean(nearest), "privacy/membership": fmean(membership)}


def leakage(made: Tensor, members: Tensor, others: Tensor) -> tuple[float, float]:
    """Ratio of distances and area under the curve of one generator; images (n, C, H, W), as many members as others."""
    real = torch.cat([members, others]).flatten(1)
    distances = torch.cdist(made.flatten(1), real, compute_mode="donot_use_mm_for_euclid_dist")  # exact at 0
    to_members, to_others = distances.split([len(members), len(others)], 1)
    own, foreign = float(to_members.amin(1).median()), float(to_others.amin(1).median())
    score = -distances.amin(0).cpu().numpy()
    truth = [1] * len(members) + [0] * len(others)
    return own / max(foreign, 1e-12), float(roc_auc_score(truth, score))


def matched(own: Tensor, held: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw positions of at most ``SAMPLES`` own labels, and equally many of each class among the held-out ones."""
    drawn = torch.randperm(len(own), generator=random)[:SAMPLES].to(own.device)
    order = torch.randperm(len(held), generator=random).to(held.device)
    mine, theirs = [drawn[:0]], [order[:0]]
    for label in own[drawn].unique().tolist():
        some, others = drawn[own[drawn] == label], order[held[order] == label]
        n = min(len(some), len(others))
        mine.append(some[:n])
        theirs.append(others[:n])
    return torch.cat(mine), torch.cat(theirs)
