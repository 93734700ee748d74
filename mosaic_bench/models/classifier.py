"""What every client model is: features, then a linear head."""

from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """`forward(x) = head(features(x))`.

    Args:
        body: maps images (N, C, H, W) to features (N, feature_width).
        head: maps features to logits (N, classes).
    """

    def __init__(self, body: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.head = head

    @property
    def feature_width(self) -> int:
        """Length of the feature vector, the head's input."""
        return self.head.in_features

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.head.out_features

    def features(self, x: Tensor) -> Tensor:
        """Features (N, feature_width) of images (N, C, H, W)."""
        features: Tensor = self.body(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        logits: Tensor = self.head(self.features(x))
        return logits
