"""One expert per class: mixtures of the clients' logits, or of their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import logits_of
from baselines.labels import class_weights
from mosaic_bench.api import Federation, Update
from mosaic_bench.models import Classifier


def logit_mixing(counts: Tensor) -> Tensor:
    """Weights of the clients' logits in every class's expert, float32 (C, K); each row sums to 1.

    α_{k,c} = n_{k,c} / Σ_j n_{j,c}: clients without class c have no say in its expert. A class that nobody holds gets
    the sample-weighted mean of all clients.

    Args:
        counts: images of each class at each client, int64 (K, C).
    """
    everyone = counts.sum(1, keepdim=True) / counts.sum()
    return torch.where(counts.sum(0) > 0, class_weights(counts), everyone).T.contiguous()


class Experts(nn.Module):
    """Class-wise experts e_c(x) = Σ_m mixing[c, m] · f_m(x), for members f_m of any architecture and width.

    The members' outputs (b, M, C) determine the experts' (b, C, C), so clients can describe images by outputs alone.

    Args:
        members: M classifiers. They are the clients' models with ``logit_mixing``, or one averaged model per class with
            the identity.
        mixing: (C, M).
        held: which classes some client holds, bool (C,).
        calibrated: members speak in log-probabilities instead of raw logits, so that no member is louder than another.
    """

    mixing: Tensor
    held: Tensor

    def __init__(self, members: Iterable[nn.Module], mixing: Tensor, held: Tensor, calibrated: bool = True) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("mixing", mixing)
        self.register_buffer("held", held)
        self.calibrated = calibrated

    def outputs(self, images: Tensor) -> Tensor:
        """What the members say about images (b, ...): float32 (b, M, C)."""
        logits = logits_of(self.members, images).transpose(0, 1)
        return F.log_softmax(logits, 2) if self.calibrated else logits

    def tokens(self, outputs: Tensor) -> Tensor:
        """What the experts say, (b, C, C), expert by expert, from the members' outputs (b, M, C)."""
        with torch.autocast(outputs.device.type, enabled=False):
            return torch.einsum("cm,bmk->bck", self.mixing, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """What the experts say about images, (b, C, C)."""
        return self.tokens(self.outputs(images))


def average_experts_(
    fed: Federation, experts: Iterable[nn.Module], everyone: Classifier, updates: Sequence[Update], counts: Tensor
) -> None:
    """Fill one model per class with θ^c[j] = Σ_k n_{k,c}·1[j held by k]·θ_k[j] / Σ_k n_{k,c}·1[j held by k].

    Coordinates that no holder of c covers, and the whole expert of a class that nobody holds, are those of the
    sample-weighted coverage average of all clients.

    Args:
        fed: for its average.
        experts: C models, written.
        everyone: a copy of the global model, overwritten; its coordinates stay where nobody covers them at all.
        updates: what the clients trained, in the order of ``counts``.
        counts: images of each class at each client, int64 (K, C).
    """
    fed.average_(everyone, updates, {u.client: float(n) for u, n in zip(updates, counts.sum(1), strict=True)})
    for label, expert in enumerate(cast(Iterable[Classifier], experts)):
        expert.load_state_dict(everyone.state_dict())
        holders = {update.client: float(n) for update, n in zip(updates, counts[:, label], strict=True)}
        if any(holders.values()):
            fed.average_(expert, updates, holders)
