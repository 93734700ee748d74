"""``list``: what suites can name."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from mosaic_bench.cli.options import Data, Plugin
from mosaic_bench.cli.output import make_console, make_table, print_table


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
    console = make_console()
    algorithms = make_table("algorithm", "paper", "reveals beside weights")
    found = [find_algorithm(name) for name in algorithm_names()]
    for cls in found:
        algorithms.add_row(
            cls.name + (" †" if cls.extension else ""), cls.paper, ", ".join(sorted(cls.reveals)) or "--"
        )
    print_table(console, algorithms)
    if verbose:
        for cls in found:
            _print_parameters(console, cls.name, cls.Params)
    directories = data_directories(data or ())
    datasets = make_table("data set", "here")
    for name in known_datasets():
        datasets.add_row(name, check_present(name, directories) or "yes")
    print_table(console, datasets)
    console.print("Partitions: " + ", ".join(sorted(PARTITIONS)))
    console.print("Architectures: " + ", ".join(sorted(ARCHITECTURES)))


def _print_parameters(console: Console, name: str, params: type) -> None:
    table = make_table("parameter", "default", "unit", "source")
    for field_name, field in params.model_fields.items():  # type: ignore[attr-defined]
        extra = field.json_schema_extra or {}
        table.add_row(field_name, repr(field.default), extra.get("unit", ""), extra.get("source", ""))
    if table.row_count:
        console.print(name)
        print_table(console, table)
