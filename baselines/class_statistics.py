"""Linear discriminant analysis from additive statistics: a classifier of a frozen feature space without training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.feature_spaces import FeatureSpace, Space
from mosaic_bench.api import ClientData, Federation, Hyperparameters, parameter
from mosaic_bench.models import Classifier

KIND = "class statistics"
TEMPERATURES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_BATCH = 500  # images; fixed, since the batch can change the last bits of a convolution
_JUDGED = 10  # every so many-th image of a client chooses the temperature instead of entering the statistics
_NEVER = -100.0  # logit of a class that nobody described


class StatisticsSettings(Hyperparameters):
    """How class statistics are taken and used."""

    space: Space | Literal["random"] = parameter("blocks", unit="features", source="ours")
    shrinkage: float = parameter(1e-2, unit="share of a round covariance", source="ours", gt=0, le=1)
    minimum_count: int = parameter(
        2, unit="images of a class at a client", source="ours: one image's sum is the image", ge=1
    )


@dataclass(frozen=True)
class Moments:
    """What a client uploads; moments of several clients add up.

    Attributes:
        counts: images of each class, (C,).
        sums: of each class's features, (C, d).
        products: upper triangle of Σ x xᵀ, (d(d + 1)/2,).
    """

    counts: Tensor
    sums: Tensor
    products: Tensor

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, classes: int, minimum: int = 1) -> Moments:
        """Moments of features (n, d) with labels, int64 (n,), less the classes of fewer than ``minimum`` images."""
        counts = torch.bincount(labels, minlength=classes)
        kept = (counts >= minimum)[labels]
        features, labels = features[kept].double(), labels[kept]
        sums = features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features)
        upper = torch.triu_indices(*[features.shape[1]] * 2, device=features.device)
        products = (features.T @ features)[upper[0], upper[1]]
        return cls(torch.bincount(labels, minlength=classes), sums.float(), products.float())

    @classmethod
    def added(cls, moments: Iterable[Moments]) -> Moments:
        """The moments of all clients together, in float64."""
        parts = zip(*((each.counts, each.sums.double(), each.products.double()) for each in moments), strict=True)
        return cls(*(torch.stack(part).sum(0) for part in parts))


class DiscriminantHead(nn.Linear):
    """Logits of equally likely Gaussian classes with one covariance: x·Σ⁻¹μ_c - ½ μ_cᵀΣ⁻¹μ_c, over a temperature.

    Before ``fit_`` every logit is 0.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.requires_grad_(False)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def fit_(self, moments: Moments, shrinkage: float) -> None:
        """Set the weights from all clients' moments; Σ = (1 - s)·pooled within-class covariance + s·(its trace / d)·I.

        A class without images gets a constant logit below all others.

        Raises:
            ValueError: there are no images at all.
        """
        counts, sums = moments.counts.double(), moments.sums.double()
        if not counts.any():
            raise ValueError("there are no class statistics to fit to")
        means = sums / counts.clamp(min=1)[:, None]
        d = sums.shape[1]
        upper = torch.triu_indices(d, d, device=sums.device)
        scatter = sums.new_zeros(d, d)
        scatter[upper[0], upper[1]] = moments.products.double()
        scatter = scatter + scatter.triu(1).T - means.T @ sums
        covariance = scatter / counts.sum()
        round_one = covariance.diagonal().mean().clamp(min=1e-12) * torch.eye(d, dtype=sums.dtype, device=sums.device)
        precise = torch.linalg.solve((1 - shrinkage) * covariance + shrinkage * round_one, means.T).T
        bias = -0.5 * (precise * means).sum(1)
        self.weight.copy_(precise)
        self.bias.copy_(torch.where(counts > 0, bias, _NEVER))

    @property
    def described(self) -> Tensor:
        """Which classes some client described, bool (C,); the others have no weights."""
        return self.weight.any(1)

    def soften_(self, temperature: float) -> None:
        """Divide the logits by a temperature."""
        self.weight.div_(temperature)
        self.bias.div_(temperature)


class StatisticsClassifier(nn.Module):
    """A frozen feature space and a discriminant head on it, in float32.

    Args:
        space: the features.
        head: the linear head.
    """

    def __init__(self, space: FeatureSpace, head: DiscriminantHead) -> None:
        super().__init__()
        self.space = space
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, C)."""
        with torch.autocast(images.device.type, enabled=False):
            logits: Tensor = self.head(self.space(images))
        return logits


def feature_space(fed: Federation, model: Classifier, settings: StatisticsSettings) -> FeatureSpace:
    """Return the space that the settings name, of ``model`` or of a fresh network of its architecture."""
    if settings.space == "random":
        return FeatureSpace(fed.model(fed.architectures[0]), "blocks")
    return FeatureSpace(model, settings.space)


def feature_width(fed: Federation, settings: StatisticsSettings) -> int:
    """Dimensions d of the space that the settings name."""
    space = feature_space(fed, fed.model(fed.architectures[0]), settings)
    with torch.no_grad():
        blank = fed.task.from_pixels(torch.zeros(1, fed.task.channels, fed.task.size, fed.task.size))
        return space(blank.to(space.classifier.head.weight.device)).shape[1]


def discriminant_head(fed: Federation, settings: StatisticsSettings, beside: nn.Module) -> DiscriminantHead:
    """Return an empty head for the space that the settings name, on the device of the model ``beside``."""
    head = DiscriminantHead(feature_width(fed, settings), fed.task.classes)
    return head.to(next(beside.parameters()).device)


@torch.no_grad()
def collect_(
    fed: Federation, classifier: StatisticsClassifier, cohort: Iterable[int], settings: StatisticsSettings
) -> None:
    """Fit the head of ``classifier`` to the clients' class statistics and soften it on images left out of them.

    Two passes beside the clients' data: moments go up; then, of every tenth image whose class somebody described, the
    losses at a few temperatures, whose sum over clients decides. Clients of fewer than ten images have no say; where
    nobody has one, the head stays as it was fitted.
    """
    classes, cohort = fed.task.classes, list(cohort)

    def moments(data: ClientData, space: FeatureSpace) -> dict[str, Tensor]:
        features, labels = _described(data, space, judged=False)
        return vars(Moments.of(features, labels, classes, settings.minimum_count))

    uploads = fed.map(moments, cohort, KIND, space=classifier.space)
    classifier.head.fit_(Moments.added(Moments(**each) for each in uploads.values()), settings.shrinkage)

    def losses(data: ClientData, head: DiscriminantHead) -> Tensor:
        if data.samples < _JUDGED:
            return data.labels.new_zeros(len(TEMPERATURES), dtype=torch.float32)
        features, labels = _described(data, classifier.space, judged=True)
        known = head.described[labels]
        logits, labels = head(features)[known], labels[known]
        sums = [F.cross_entropy(logits / t, labels, reduction="sum") for t in TEMPERATURES]
        return torch.stack(sums)

    total = torch.stack(list(fed.map(losses, cohort, KIND, head=classifier.head).values())).sum(0)
    if total.any():
        classifier.head.soften_(TEMPERATURES[int(total.argmin())])


def _described(data: ClientData, space: FeatureSpace, judged: bool) -> tuple[Tensor, Tensor]:
    """Features (n, d) and labels of a client's images for the statistics, or of those that judge the temperature."""
    everything = torch.arange(data.samples, device=data.labels.device)
    chosen = everything[(everything % _JUDGED == _JUDGED - 1) == judged]
    features = [space(data.images(part)) for part in chosen.split(_BATCH)]
    return torch.cat(features), data.labels[chosen]
