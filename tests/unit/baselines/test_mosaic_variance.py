"""Theorem I.1: a fused ensemble varies less than the plain one, unless its experts are alike. A numeric check."""

import pytest
import torch

DRAWS = 200_000


def _variances(deviations: list[float], shifts: list[float]) -> tuple[float, float]:
    """Variance of the plain mean, and mean squared error of the best convex fusion, around the truth 0.

    Expert k predicts δ_k + σ_k·ε_k. A fusion that minimises the expected squared error weighs by 1/(σ_k² + δ_k²)
    where shifts are independent of one another.
    """
    sigma, delta = torch.tensor(deviations).double(), torch.tensor(shifts).double()
    random = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (DRAWS, len(sigma)), generator=random).double() * 2 - 1
    predicted = signs * delta + sigma * torch.randn(DRAWS, len(sigma), generator=random, dtype=torch.float64)
    weights = 1 / (sigma**2 + delta**2)
    plain, fused = predicted.mean(1), predicted @ (weights / weights.sum())
    return float(plain.square().mean()), float(fused.square().mean())


@pytest.mark.parametrize(
    ("deviations", "shifts"), [([0.5, 1.0, 2.0], [0, 0, 0]), ([1.0, 1.0, 1.0], [0.0, 0.5, 2.0]), ([0.2, 3.0], [1, 0])]
)
def test_fusing_unequal_experts_lowers_the_variance_as_predicted(deviations: list[float], shifts: list[float]) -> None:
    spread = [s**2 + d**2 for s, d in zip(deviations, shifts, strict=True)]
    plain, fused = _variances(deviations, shifts)
    assert plain == pytest.approx(sum(spread) / len(spread) ** 2, rel=0.02)
    assert fused == pytest.approx(1 / sum(1 / each for each in spread), rel=0.02)
    assert fused < 0.95 * plain


def test_equal_experts_gain_nothing() -> None:
    plain, fused = _variances([0.7] * 4, [0.3] * 4)
    assert fused == pytest.approx(plain, rel=1e-9)
