"""``list``: what suites can name."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mosaic_bench.cli.options import Data, Plugin


def list_(
    plugin: Plugin = None,
    data: Data = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show hyper-parameters.")] = False,
) -> None:
    """List algorithms, data sets, partitions and architectures."""
    from mosaic_bench.data import PARTITIONS, check_present, data_directories, known_datasets
    from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm, load_plugins
    from mosaic_bench.models import ARCHITECTURES

    load_plugins(plugin or ())
    console = Console()
    algorithms = Table("algorithm", "paper", "reveals beside weights", title="Algorithms", title_justify="left")
    found = [find_algorithm(name) for name in algorithm_names()]
    for cls in found:
        algorithms.add_row(
            cls.name + (" †" if cls.extension else ""), cls.paper, ", ".join(sorted(cls.reveals)) or "--"
        )
    console.print(algorithms)
    if verbose:
        for cls in found:
            _print_parameters(console, cls.name, cls.Params)
    directories = data_directories(data or ())
    datasets = Table("data set", "here", title="Data sets", title_justify="left")
    for name in known_datasets():
        datasets.add_row(name, check_present(name, directories) or "yes")
    console.print(datasets)
    console.print("Partitions: " + ", ".join(sorted(PARTITIONS)), highlight=False)
    console.print("Architectures: " + ", ".join(sorted(ARCHITECTURES)), highlight=False)


def _print_parameters(console: Console, name: str, params: type) -> None:
    table = Table("parameter", "default", "unit", "source", title=name, title_justify="left")
    for field_name, field in params.model_fields.items():  # type: ignore[attr-defined]
        extra = field.json_schema_extra or {}
        table.add_row(field_name, repr(field.default), extra.get("unit", ""), extra.get("source", ""))
    if table.row_count:
        console.print(table)
