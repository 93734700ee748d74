"""A few representatives per class: k-means centroids, or the real members nearest to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from baselines.experts import Experts
from mosaic_bench.api import ClientData, Federation, Hyperparameters, Random, parameter
from mosaic_bench.models import Classifier, eval_mode

KIND = "prototypes"
_BATCH = 500  # images; fixed, since the batch can change the last bits of a convolution


class SyntheticSettings(Hyperparameters):
    """How prototypes are found without asking clients."""

    synthetic_images: int = parameter(512, unit="images per generator", source="ours", ge=1)
    synthetic_confidence: float = parameter(0.9, unit="probability", source="ours", ge=0, lt=1)


@dataclass(frozen=True)
class Client:
    """What the server has from one client: generator of noise (b, latent), own model, images per class (C,)."""

    generator: nn.Module
    latent: int
    model: nn.Module
    counts: Tensor


def class_centroids(vectors: Tensor, labels: Tensor, k: int, random: Random) -> dict[int, Tensor]:
    """At most k centroids of each class's vectors: class -> (min(k, m), d), for the classes that occur.

    A class with m ≤ k vectors is described by all of them.

    Args:
        vectors: float32 (n, d).
        labels: int64 (n,).
        k: prototypes per class.
        random: draws k-means' initial centroids.
    """
    return {
        int(label): centroids(vectors[labels == label], k, random) for label in labels.unique()
    }  # unique sorts, so the draws are made in order of classes


def centroids(vectors: Tensor, k: int, random: Random) -> Tensor:
    """The k-means centroids of vectors (m, d): min(k, distinct vectors) of them, or all vectors where m ≤ k."""
    if len(vectors) <= k:
        return vectors.clone()
    from sklearn.cluster import KMeans

    seed = int(random.integers(2**31 - 1, 1))
    distinct = len(vectors.unique(dim=0))
    found = KMeans(min(k, distinct), n_init=1, random_state=seed).fit(vectors.cpu().numpy())
    return torch.from_numpy(found.cluster_centers_).to(vectors)


def medoids(vectors: Tensor, k: int, random: Random) -> Tensor:
    """Positions of at most k vectors of (m, d), the nearest to each k-means centroid, ascending and distinct."""
    return torch.cdist(centroids(vectors, k, random), vectors).argmin(1).unique()


def stacked(by_client: list[dict[int, Tensor]]) -> tuple[Tensor, Tensor]:
    """All clients' prototypes as vectors (P, d) and labels, int64 (P,)."""
    pairs = [(label, each) for prototypes in by_client for label, each in prototypes.items()]
    vectors = torch.cat([each for _, each in pairs])
    sizes = torch.tensor([len(each) for _, each in pairs])
    labels = torch.tensor([label for label, _ in pairs]).repeat_interleave(sizes)
    return vectors, labels.to(vectors.device)


def client_prototypes(fed: Federation, experts: Experts, cohort: Sequence[int], k: int) -> tuple[Tensor, Tensor]:
    """What the experts say on k-means centroids of every client's classes: tokens (P, C, C), labels (P,).

    The shared space is that of all members' outputs, which clients compute with the experts they are sent, in eval
    mode, without augmentation, over all of their images. So prototypes and later images pass through the same networks.

    DEVIATION: the published code takes features of the global model and feeds them to the heads of other networks.
    """

    @torch.no_grad()
    def describe(data: ClientData, experts: Experts) -> dict[int, Tensor]:
        outputs = _in_batches(experts.outputs, data, fed)
        return class_centroids(outputs.flatten(1), data.labels, k, fed.rng("prototypes", data.client))

    uploads = fed.map(describe, cohort, KIND, experts=experts)
    vectors, labels = stacked(list(uploads.values()))
    return experts.tokens(vectors.unflatten(1, (len(experts.members), -1))), labels


def published_prototypes(
    fed: Federation, experts: Experts, model: Classifier, cohort: Sequence[int], k: int
) -> tuple[Tensor, Tensor]:
    """What the experts' heads say on centroids of the global model's features: tokens (P, C, C), labels (P,).

    Features and heads belong to different networks here, as in the published code.
    """

    @torch.no_grad()
    def describe(data: ClientData, model: Classifier) -> dict[int, Tensor]:
        features = _in_batches(model.features, data, fed)
        return class_centroids(features, data.labels, k, fed.rng("prototypes", data.client))

    with eval_mode(model):
        vectors, labels = stacked(list(fed.map(describe, cohort, KIND, model=model).values()))
    with torch.no_grad():
        return experts.tokens(
            torch.stack([cast(Classifier, member).head(vectors) for member in experts.members], 1)
        ), labels


@torch.no_grad()
def synthetic_prototypes(
    fed: Federation, experts: Experts, clients: Sequence[Client], k: int, settings: SyntheticSettings
) -> tuple[Tensor, Tensor]:
    """What the experts say on generated images: tokens (P, C, C), labels (P,). Nothing more is uploaded.

    A generator's images get the class, among those its client holds, that the client's own model gives them; of the
    confident ones k medoids of the softmax vectors stay per class. Where none is confident, all count.

    Args:
        fed: for draws and precision.
        experts: class-wise experts.
        clients: generator, own model and class counts of every client.
        k: prototypes per client and class.
        settings: how many images are drawn, and how confident the label has to be.
    """
    tokens, labels = [], []
    for index, client in enumerate(clients):
        random = fed.rng("synthetic prototypes", index)
        with fed.autocast():
            images = client.generator(random.normal(settings.synthetic_images, client.latent)).float()
            logits = client.model(images).float()
        confidence, label = logits.masked_fill(client.counts == 0, -torch.inf).softmax(1).max(1)
        sure = confidence > settings.synthetic_confidence
        sure = sure if bool(sure.any()) else torch.ones_like(sure)
        for each in label[sure].unique():
            among = torch.nonzero(sure & (label == each)).flatten()
            chosen = among[medoids(logits[among].softmax(1), k, random)]
            with fed.autocast():
                tokens.append(experts(images[chosen]))
            labels.append(label[chosen])
    return torch.cat(tokens), torch.cat(labels)


def _in_batches(describe: Callable[[Tensor], Tensor], data: ClientData, fed: Federation) -> Tensor:
    """``describe`` of all of a client's images, float32 (n, ...)."""
    everything = torch.arange(data.samples, device=data.labels.device)
    with fed.autocast():
        return torch.cat([describe(data.images(part)).float() for part in everything.split(_BATCH)])
