"""Prototypes: how many, of which classes, and what they cost."""

import torch
from support import cell, federation
from torch import nn

from baselines.experts import Experts, logit_mixing
from baselines.prototypes import (
    Client,
    SyntheticSettings,
    class_centroids,
    client_prototypes,
    medoids,
    stacked,
    synthetic_prototypes,
)

VECTORS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0] * 40 + [3] * 17 + [1] * 3)
SKEWED = cell(partition={"dirichlet": {"alpha": 0.3}})


def _random(name: str = "prototypes test"):
    return federation(cell()).rng(name)


def test_every_class_gets_at_most_k_and_small_ones_are_described_by_all_they_have() -> None:
    found = class_centroids(VECTORS, LABELS, 10, _random())
    assert {label: len(vectors) for label, vectors in found.items()} == {0: 10, 1: 3, 3: 10}
    assert torch.equal(found[1], VECTORS[LABELS == 1])
    torch.testing.assert_close(class_centroids(VECTORS, LABELS, 1, _random())[3][0], VECTORS[LABELS == 3].mean(0))


def test_they_are_deterministic_and_keep_their_labels() -> None:
    first, second = (class_centroids(VECTORS, LABELS, 4, _random()) for _ in range(2))
    assert all(torch.equal(first[label], second[label]) for label in first)
    vectors, labels = stacked([first, {2: VECTORS[:2]}])
    assert labels.tolist() == [0] * 4 + [1] * 3 + [3] * 4 + [2] * 2
    assert torch.equal(vectors[-2:], VECTORS[:2])


def test_medoids_are_members() -> None:
    chosen = medoids(VECTORS, 4, _random())
    assert len(chosen) == len(set(chosen.tolist())) <= 4


def _experts(fed) -> tuple[Experts, torch.Tensor]:
    counts = torch.stack(list(fed.map(lambda data: data.counts, range(3), "label counts").values()))
    return Experts([fed.model() for _ in range(3)], logit_mixing(counts), counts.sum(0) > 0).eval(), counts


def test_clients_send_k_vectors_per_held_class_and_receive_the_experts() -> None:
    fed = federation(SKEWED, reveals=frozenset({"label counts", "prototypes"}))
    experts, counts = _experts(fed)
    tokens, labels = client_prototypes(fed, experts, range(3), k=4)
    sizes = counts.clamp(max=4)
    assert fed.ledger.up["prototypes"] == int(sizes.sum()) * 3 * 4 * 4  # vectors of 3 clients' 4 logits, 4 bytes each
    assert torch.equal(torch.bincount(labels, minlength=4), sizes.sum(0))
    assert tokens.shape == (len(labels), 4, 4)
    assert fed.ledger.down["experts"] > 3 * 3 * sum(p.numel() * 4 for p in experts.members[0].parameters())


class Labels(nn.Module):
    """A client's model that sees class ``label`` with a given confidence in everything."""

    def __init__(self, label: int, logit: float) -> None:
        super().__init__()
        self.logits = logit * torch.eye(4)[label]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1) + 1e-3 * images.flatten(1)[:, :4]


class Noise(nn.Module):
    """A generator that shows its noise."""

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return noise[:, None, None, :]


def test_synthetic_ones_have_held_classes_and_are_confident_where_any_is() -> None:
    fed = federation(cell())
    experts, _ = _experts(federation(cell(), reveals=frozenset({"label counts"})))
    experts.members = nn.ModuleList([Labels(k, 1.0) for k in range(3)])
    counts = torch.tensor([[0, 9, 0, 9], [5, 0, 0, 0]])
    clients = [Client(Noise(), 8, Labels(1, 9.0), counts[0]), Client(Noise(), 8, Labels(2, 9.0), counts[1])]
    tokens, labels = synthetic_prototypes(fed, experts, clients, 3, SyntheticSettings(synthetic_images=20))
    assert set(labels.tolist()) == {0, 1}  # the second client does not hold what its model sees
    assert len(labels) <= 6
    unsure = [Client(Noise(), 8, Labels(1, 0.1), torch.tensor([1, 1, 1, 1]))]
    _, labels = synthetic_prototypes(fed, experts, unsure, 3, SyntheticSettings(synthetic_images=20))
    assert len(labels) > 0
    assert tokens.shape[1:] == (4, 4)
