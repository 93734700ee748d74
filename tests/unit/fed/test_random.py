"""Draws for algorithms."""

import torch

from mosaic_bench.api import Random


def test_weighted_positions_follow_the_weights_and_leave_out_those_of_none() -> None:
    weights = torch.tensor([0, 10, 30, 0, 60, 0])
    random = Random(torch.Generator().manual_seed(0), torch.device("cpu"))
    drawn = torch.bincount(random.weighted(weights, 5000), minlength=6)
    assert (drawn[weights == 0] == 0).all()
    expected = 5000 * weights[weights > 0] / 100
    chi_squared = float(((drawn[weights > 0] - expected) ** 2 / expected).sum())
    assert chi_squared < 13.8  # 0.999 quantile, two degrees of freedom
