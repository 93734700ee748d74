"""Suite files: YAML -> validated suite -> cells. Nothing here imports torch."""

from mosaic_bench.suite.errors import SuiteError
from mosaic_bench.suite.report_schema import HeadlineSpec, PlotSpec, ReportSpec, TableSpec
from mosaic_bench.suite.schema import Cell, RunSpec
from mosaic_bench.suite.shipped import find_suite, shipped_suites
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
    "find_suite",
    "load_suite",
    "shipped_suites",
]
