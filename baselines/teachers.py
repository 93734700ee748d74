"""Ensembles of clients' models as predictors: fused by a meta model, or averaged."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from baselines.blocks import logits_of, mixture
from baselines.experts import Experts


class FusedExperts(nn.Module):
    """A meta model on top of class-wise experts.

    Args:
        experts: images -> what each expert says.
        meta: (tokens, held) -> logits, in float32.
    """

    def __init__(self, experts: Experts, meta: nn.Module) -> None:
        super().__init__()
        self.experts = experts
        self.meta = meta

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, C) of images (b, ...)."""
        tokens = self.experts(images)
        with torch.autocast(images.device.type, enabled=False):
            logits: Tensor = self.meta(tokens, self.experts.held)
        return logits


class MeanProbability(nn.Module):
    """log of the weighted mean of several models' probabilities.

    Args:
        members: K classifiers.
        weights: of each, (K,), not negative, not all 0; equal ones when not given.
    """

    weights: Tensor

    def __init__(self, members: Iterable[nn.Module], weights: Tensor | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        weights = torch.ones(len(self.members)) if weights is None else weights.float()
        self.register_buffer("weights", weights / weights.sum())

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, C) of images (b, ...)."""
        logits = logits_of(self.members, images)
        return mixture(logits, self.weights[:, None].expand(-1, len(images)))
