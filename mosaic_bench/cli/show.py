"""``show``: everything about one cell. Reads the store alone."""

from __future__ import annotations

from io import StringIO
from typing import Annotated, Any

import typer

from mosaic_bench.cli.options import RESULTS, Results
from mosaic_bench.cli.output import make_console, make_table, print_table
from mosaic_bench.cli.reproduce import one_cell_suite, rerun_command
from mosaic_bench.cli.stores import find_cell
from mosaic_bench.store import shown_state


def show(
    key: Annotated[str, typer.Argument(help="Key of a cell, or its first digits.")],
    results: Results = RESULTS,
    as_suite: Annotated[
        bool, typer.Option("--as-suite", help="Print a suite file that consists of this cell, and nothing else.")
    ] = False,
) -> None:
    """Show what a cell is, how to run it again, where it ran, and every evaluated step."""
    folder = find_cell(key, results)
    console = make_console()
    (status, steps), description = folder.outcome(), folder.description()
    if as_suite:
        console.out(_as_yaml(one_cell_suite(description, folder.environment())), highlight=False, end="")
        return
    console.print(f"{folder.path}: {shown_state(folder, status).value} {status.message}".rstrip())
    console.print("again: " + rerun_command(folder, description))
    shown = {name: part for name, part in description.items() if name in {"cell", "partition"}}
    console.print(f"\n{_as_yaml(shown | {'environment': folder.environment()})}")
    if steps:
        names = list(dict.fromkeys(name for step in steps for name in step["metrics"]))
        table = make_table("step", *names)
        for step in steps:
            numbers = (step["metrics"].get(name) for name in names)
            table.add_row(str(step["step"]), *("--" if number is None else f"{number:.4f}" for number in numbers))
        print_table(console, table)
        console.print(_as_yaml({"costs": steps[-1]["ledger"] | steps[-1]["time"]}))


def _as_yaml(value: dict[str, Any]) -> str:
    """Write nested settings the way suite files do, the innermost ones on one line."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares no type
    yaml.width = 120
    text = StringIO()
    yaml.dump(value, text)
    return text.getvalue()
