"""How much a model's predictions vary over seeds: the variances that Mosaic's Theorem I.1 compares, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mosaic_bench.report.entry import Entry, Unit
from mosaic_bench.report.layout import Layout, Place
from mosaic_bench.report.quantities import finished, keys_of, with_quantities
from mosaic_bench.report.study import Study
from mosaic_bench.suite import TableSpec

Predictions = dict[str, np.ndarray]
"""Class probabilities (N, C) on the same N images, by model."""


def variance_entries(study: Study, layout: Layout, spec: TableSpec) -> tuple[Layout, dict[Place, Entry]]:
    """Replace each column by one per model; a place without two seeds that kept their predictions has no number."""
    found = [result.predictions() for result in study.results]
    models = dict.fromkeys(model for predictions in found for model in predictions) or {"server": None}
    return with_quantities(layout, {model: partial(_variance, study, found, model) for model in models})


def prediction_variance(probabilities: np.ndarray) -> float:
    """Mean over images of Σ_c Var_s p_c, the sample variance (S - 1) over seeds, of probabilities (S, N, C)."""
    return float(probabilities.astype(np.float64).var(axis=0, ddof=1).sum(axis=1).mean())


def _variance(study: Study, found: Sequence[Predictions], model: str, numbers: Sequence[int]) -> Entry:
    measured = [number for number in finished(study, numbers) if model in found[number]]
    if len(measured) < 2:
        return Entry.gap_of(study.results[number].status.state for number in numbers)
    variance = prediction_variance(np.stack([found[number][model] for number in measured]))
    return replace(Entry.of([variance], "none", Unit(1, 3)), n=len(measured), keys=keys_of(study, measured))
