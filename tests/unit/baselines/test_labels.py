"""Oracles of class weights and label sampling (FedFTG, FedGen)."""

import pytest
import torch

from baselines.labels import class_weights, quota_labels, shuffled_positions
from mosaic_bench.api import Random


def _random(seed: int = 0) -> Random:
    return Random(torch.Generator().manual_seed(seed), torch.device("cpu"))


def test_class_weights_sum_to_one_over_holders_and_to_zero_for_a_class_nobody_holds() -> None:
    counts = torch.tensor([[3, 0, 0, 5], [1, 0, 2, 0]])
    weights = class_weights(counts)
    torch.testing.assert_close(weights, torch.tensor([[0.75, 0.0, 0.0, 1.0], [0.25, 0.0, 1.0, 0.0]]))
    torch.testing.assert_close(class_weights(counts[:1]), torch.tensor([[1.0, 0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("n", [7, 50, 500])
def test_quota_labels_miss_their_share_by_less_than_one(n: int) -> None:
    counts = torch.tensor([0, 13, 1, 0, 400, 86, 0])
    drawn = torch.bincount(quota_labels(counts, n, _random()), minlength=7)
    assert drawn.sum() == n
    assert ((drawn - n * counts / counts.sum()).abs() < 1).all()
    assert (drawn[counts == 0] == 0).all()
    order = quota_labels(counts, n, _random(1))
    assert torch.equal(order.sort().values, quota_labels(counts, n, _random(2)).sort().values)


def test_positions_cover_every_image_once_an_epoch_in_changing_order() -> None:
    batches = shuffled_positions(9, 4, _random())
    epochs = [torch.cat([next(batches), next(batches)]) for _ in range(2)]  # the last one of nine alone is dropped
    assert all(len(epoch.unique()) == 8 for epoch in epochs)
    assert not torch.equal(*epochs)
