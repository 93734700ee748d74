"""Suite files: YAML -> validated suite -> cells. Nothing here imports torch."""

from mosaic_bench.suite.errors import SuiteError
from mosaic_bench.suite.schema import Cell, HeadlineSpec, PlotSpec, ReportSpec, RunSpec, TableSpec
from mosaic_bench.suite.suite import PlannedCell, Suite, load_suite

__all__ = [
    "Cell",
    "HeadlineSpec",
    "PlannedCell",
    "PlotSpec",
    "ReportSpec",
    "RunSpec",
    "Suite",
    "SuiteError",
    "TableSpec",
    "load_suite",
]
