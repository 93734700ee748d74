"""``list``: what suites can name, and the suites that come with the package."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer
from rich.console import Console

from mosaic_bench.cli.options import Data, Plugin
from mosaic_bench.cli.output import make_console, make_table, print_table


class Kind(str, Enum):
    """What can be listed."""

    ALGORITHMS = "algorithms"
    DATASETS = "datasets"
    PARTITIONS = "partitions"
    MODELS = "models"
    SUITES = "suites"


def list_(
    kinds: Annotated[list[Kind] | None, typer.Argument(metavar="[KIND]...", help="All when not said.")] = None,
    plugin: Plugin = None,
    data: Data = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show hyper-parameters.")] = False,
) -> None:
    """List algorithms, datasets, partitions, models, suites."""
    wanted = kinds or list(Kind)
    if set(wanted) != {Kind.SUITES}:  # these alone are listed without waiting for torch
        from mosaic_bench.engine.algorithms import load_plugins

        load_plugins(plugin or ())
    console = make_console()
    if Kind.ALGORITHMS in wanted:
        _print_algorithms(console, verbose)
    if Kind.DATASETS in wanted:
        _print_datasets(console, data)
    if Kind.PARTITIONS in wanted:
        from mosaic_bench.data import PARTITIONS

        console.print("Partitions: " + ", ".join(sorted(PARTITIONS)))
    if Kind.MODELS in wanted:
        from mosaic_bench.models import ARCHITECTURES

        console.print("Architectures: " + ", ".join(sorted(ARCHITECTURES)))
    if Kind.SUITES in wanted:
        from mosaic_bench.suite import shipped_suites

        console.print("Suites: " + ", ".join(shipped_suites()))


def _print_algorithms(console: Console, verbose: bool) -> None:
    from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm

    table = make_table("algorithm", "paper", "reveals beside weights")
    found = [find_algorithm(name) for name in algorithm_names()]
    for cls in found:
        table.add_row(cls.name + (" †" if cls.extension else ""), cls.paper, ", ".join(sorted(cls.reveals)) or "--")
    print_table(console, table)
    if verbose:
        for cls in found:
            _print_parameters(console, cls.name, cls.Params)


def _print_datasets(console: Console, data: Data) -> None:
    from mosaic_bench.data import check_present, data_directories, known_datasets

    table, directories = make_table("data set", "here"), data_directories(data or ())
    for name in known_datasets():
        table.add_row(name, check_present(name, directories) or "yes")
    print_table(console, table)


def _print_parameters(console: Console, name: str, params: type) -> None:
    table = make_table("parameter", "default", "unit", "source")
    for field_name, field in params.model_fields.items():  # type: ignore[attr-defined]
        extra = field.json_schema_extra or {}
        table.add_row(field_name, repr(field.default), extra.get("unit", ""), extra.get("source", ""))
    if table.row_count:
        console.print(name)
        print_table(console, table)
