"""What a suite may say of its report: the one number of a cell, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from mosaic_bench.suite.errors import LocatedError
from mosaic_bench.suite.owner import owner
from mosaic_bench.suite.section import Section


class HeadlineSpec(Section):
    """The one number of a cell.

    Attributes:
        metric: ``acc/PREDICTOR@SPLIT``, the accuracy of a predictor on test images, on validation images, or on the
            clients' own test images (``local``).
        rule: the last evaluated step, the mean of the last k, or the step that was best on validation data. Never the
            best on test data.
        k: evaluated steps that ``mean_last_k`` averages.
    """

    metric: str = Field("acc/server@test", pattern="^acc/[^/@]+@(test|val|local)$")
    rule: Literal["last", "mean_last_k", "best_on_validation"] = "last"
    k: int = Field(10, ge=1)


def _listed(value: Any) -> Any:
    """``algorithm`` is short for ``[algorithm]``."""
    return [value] if isinstance(value, str) else value


class TableSpec(Section):
    """One table: which grid axes make the rows, which make the columns, and what is marked.

    An axis is one of the grid (``partition``) or a parameter of one (``partition.alpha``, ``models.extract``).

    Attributes:
        name: file name without extension.
        preset: which layout the other keys start from: accuracy (every axis its column level), alpha (data set and α),
            widths (width budget and extraction), ablation (differences from the first row beside each mean), cost,
            privacy (what generators give away), or variance (of predictions over seeds).
        rows: axes of the row levels, outermost first; the algorithm when not said, in the last three presets below
            the settings.
        columns: axes of the column levels, outermost first; by the preset when not said.
        mark: which means stand out among the methods of a setting; none in the last three presets when not said. The
            privacy preset takes none: a distance of 0 is a copy.
        spread: standard deviation over seeds (n - 1), an interval of the mean over seeds (95 %), or none.
        shade: shade what is not significantly worse than the best of its setting, paired by seed or over test images;
            not in the last three presets.
        caption: text before the rule and the number of seeds.
        headline: the one number of a cell in this table; the report's when not said.
    """

    name: str = Field("main", pattern=r"^[A-Za-z0-9_-]+$")
    preset: Literal["accuracy", "alpha", "widths", "ablation", "cost", "privacy", "variance"] = "accuracy"
    rows: Annotated[Annotated[list[str], Field(min_length=1)] | None, BeforeValidator(_listed)] = None
    columns: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    mark: list[Literal["best", "second"]] | None = None
    spread: Literal["std", "interval", "none"] = "std"
    shade: Literal["none", "seeds", "images"] = "none"
    caption: str | None = None
    headline: HeadlineSpec | None = None

    @model_validator(mode="after")
    def _marks_what_can_be_best(self) -> TableSpec:
        if self.preset == "privacy" and self.mark:
            raise LocatedError(("mark",), "a privacy table marks no best: the smallest distance, 0, is a copy")
        return self

    @model_validator(mode="after")
    def _compares_accuracies(self) -> TableSpec:
        if self.shade != "none" and not self.shows_headline:
            raise LocatedError(("shade",), f"a {self.preset} table compares no methods; only accuracies can be shaded")
        return self

    @property
    def marks(self) -> list[str]:
        """What is marked: cheapest is not best, so tables of other quantities mark nothing unless asked."""
        if self.mark is not None:
            return list(self.mark)
        return ["best", "second"] if self.shows_headline else []

    @property
    def shows_headline(self) -> bool:
        """False where several other quantities stand below each setting."""
        return self.preset not in ("cost", "privacy", "variance")

    def axes(self, grid: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the axes of the rows and of the columns over a grid with these axes; seeds are averaged over."""
        methods = [axis for axis in grid if axis == "algorithm"]
        rest = [axis for axis in grid if axis not in ("algorithm", "seed")]
        if not self.shows_headline:
            return self.rows or [*rest, *methods], self.columns or []
        rows = self.rows or methods or rest[:1]
        if self.columns is not None:
            return rows, self.columns
        first = {"alpha": ["dataset", "partition.alpha"], "widths": ["models.widths", "models.extract"]}
        wanted = [axis for axis in first.get(self.preset, []) if axis != "dataset" or axis in grid]
        shown = {owner(axis, grid) for axis in (*wanted, *rows)}
        others = [axis for axis in grid if axis not in shown and axis != "seed"]
        return rows, [*others, *wanted] if self.preset == "widths" else [*wanted, *others]


PlotKind = Literal[
    "curve",
    "alpha_sweep",
    "cost_accuracy",
    "critical_difference",
    "client_classes",
    "samples",
    "generator_curves",
    "decision_regions",
]
_PLOT_COSTS = {"curve": ("step", "bytes", "seconds"), "cost_accuracy": ("bytes", "seconds", "flops", "memory")}


class PlotSpec(Section):
    """One kind of figure.

    Attributes:
        kind: which.
        x: what a curve runs against (step, bytes, seconds), or the costs of an accuracy-cost scatter (bytes, seconds,
            flops, memory); one figure each, all of them when not said.
        metric: what the figure shows; the headline's metric when not said.
    """

    kind: PlotKind
    x: Annotated[list[Literal["step", "bytes", "seconds", "flops", "memory"]] | None, BeforeValidator(_listed)] = None
    metric: str | None = Field(None, pattern="^(acc|nll)/[^/@]+@(test|val|local)$")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> PlotSpec:
        known = _PLOT_COSTS.get(self.kind, ())
        for x in self.x or ():
            if x not in known:
                takes = f"one of {', '.join(known)}" if known else "none"
                raise LocatedError(("x",), f"{self.kind} cannot be drawn against {x}; it takes {takes}")
        if self.metric is not None and self.kind != "curve":
            raise LocatedError(("metric",), f"{self.kind} shows the headline; only a curve takes a metric")
        return self

    @property
    def against(self) -> Sequence[str]:
        """What each figure of this kind is drawn against."""
        return self.x if self.x is not None else _PLOT_COSTS.get(self.kind, ())


class ReportSpec(Section):
    """What is made of the results.

    Attributes:
        headline: the one number of a cell.
        tables, plots: what `tables`, `plots` and `report` make; every kind of figure when not said.
    """

    headline: HeadlineSpec = HeadlineSpec()
    tables: list[TableSpec] = [TableSpec()]
    plots: list[PlotSpec] = [PlotSpec(kind=kind) for kind in get_args(PlotKind)]
