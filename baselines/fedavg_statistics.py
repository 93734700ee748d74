"""Controls: FedAvg with its head replaced by class statistics, and the same statistics over other features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from baselines.class_statistics import (
    KIND,
    StatisticsClassifier,
    StatisticsSettings,
    collect_,
    discriminant_head,
    feature_space,
)
from baselines.feature_spaces import Space
from baselines.fedavg import FedAvg
from mosaic_bench.api import Predictors, Stage, parameter, register


@register("fedavg-statistics", title="FedAvg + class statistics", paper="control: McMahan et al., AISTATS 2017")
class StatisticsFedAvg(FedAvg):
    """FedAvg, and after its last round a linear discriminant in its features, fitted to class statistics.

    With ``space: last`` that replaces the head; with ``blocks`` it is the teacher of ``mosaic/statistics`` deployed as
    it is, on FedAvg's last model; with ``random`` the features are those of a network that was never trained.
    ``own head`` is what FedAvg itself would deploy. The features are those of the first architecture's whole model:
    every client of the cohort runs it forward, also where its own is smaller.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({KIND})

    class Params(FedAvg.Params, StatisticsSettings):
        """Hyper-parameters of the statistics; the rest are FedAvg's."""

        space: Space | Literal["random"] = parameter("last", unit="features", source="control")

    params: Any

    @classmethod
    def stages(cls, params: Any, rounds: int, cohort: int) -> Sequence[Stage]:
        """All but the last step are FedAvg's."""
        return FedAvg.stages(params, rounds, cohort)

    def setup(self) -> None:
        """Make the head beside FedAvg's models."""
        super().setup()
        self.collected = False
        self.head = discriminant_head(self.fed, self.params, self._first)

    @property
    def steps(self) -> int:
        """FedAvg's, and one for the statistics."""
        return super().steps + 1

    def step(self, t: int) -> None:
        """One step of FedAvg, or at the end the statistics of cohort(0)."""
        if t + 1 < self.steps:
            super().step(t)
        else:
            collect_(self.fed, self._classifier, self.fed.cohort(0), self.params)
            self.collected = True

    def predictors(self) -> Predictors:
        """Evaluate FedAvg's models, and once it is there the discriminant with FedAvg's own head beside it."""
        if not self.collected:
            return super().predictors()
        return {"server": self._classifier, "own head": self.servers}

    @property
    def _first(self) -> Any:
        return self.servers[self.fed.architectures[0]]

    @property
    def _classifier(self) -> StatisticsClassifier:
        return StatisticsClassifier(feature_space(self.fed, self._first, self.params), self.head)
