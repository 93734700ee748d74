"""Accuracy of predictors on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mosaic_bench.api import Predictor
from mosaic_bench.data.device import DeviceImages
from mosaic_bench.models import eval_mode

_BATCH = 500  # images; fixed, since the batch can change the last bits of a convolution


@dataclass(frozen=True)
class Score:
    """A predictor on one split.

    Attributes:
        accuracy: share of images whose largest logit is the label's, in [0, 1].
        nll: mean negative log-likelihood in nats.
        correct: bool (N,), on the CPU.
    """

    accuracy: float
    nll: float
    correct: Tensor


def evaluate(
    predictor: Predictor, images: DeviceImages, indices: Tensor, autocast: Callable[[], AbstractContextManager[object]]
) -> Score:
    """Score a predictor on the images at ``indices``, in eval mode, leaving its mode as it was."""
    correct, nll = [], []
    with torch.inference_mode(), _eval_mode(predictor), autocast():
        for start in range(0, len(indices), _BATCH):
            chosen = indices[start : start + _BATCH]
            labels = images.labels[chosen]
            logits = predictor(images.batch(chosen)).float()
            correct.append(logits.argmax(1) == labels)
            nll.append(F.cross_entropy(logits, labels, reduction="sum"))
    right = torch.cat(correct)
    return Score(
        accuracy=int(right.sum()) / len(indices), nll=float(torch.stack(nll).sum()) / len(indices), correct=right.cpu()
    )


def probabilities(
    predictor: Predictor, images: DeviceImages, indices: Tensor, autocast: Callable[[], AbstractContextManager[object]]
) -> Tensor:
    """Return the predictor's class probabilities at ``indices``, float32 (b, classes), all in one batch."""
    with torch.inference_mode(), _eval_mode(predictor), autocast():
        return predictor(images.batch(indices)).float().softmax(1)


def local_accuracy(correct: Tensor, parts: Sequence[Tensor]) -> float:
    """Return the mean over clients of the accuracy on each client's own test images, in [0, 1].

    Args:
        correct: bool (N,), for every test image.
        parts: int64 positions of each client's images, none empty.
    """
    return fmean(int(correct[part].sum()) / len(part) for part in parts)


def _eval_mode(predictor: Predictor) -> AbstractContextManager[None]:
    return eval_mode(predictor) if isinstance(predictor, nn.Module) else nullcontext()
