"""``verify``: does a finished cell still come out the same?"""

from __future__ import annotations

from typing import Annotated

import typer

from mosaic_bench.cli.options import RESULTS, Data, Results
from mosaic_bench.cli.output import make_console
from mosaic_bench.cli.reproduce import rerun_plugins
from mosaic_bench.cli.stores import find_cell


def verify(
    key: Annotated[str, typer.Argument(help="Key of a cell, or its first digits.")],
    results: Results = RESULTS,
    data: Data = None,
) -> None:
    """Do the first steps of a finished cell again; where every bit agrees it is stale no more, else exit with 1."""
    folder = find_cell(key, results)

    from mosaic_bench.data import data_directories
    from mosaic_bench.engine.algorithms import load_plugins
    from mosaic_bench.engine.verify import verify

    load_plugins(rerun_plugins(folder.description().get("options", [])))
    verdict = verify(folder, data_directories(data or ()))
    console = make_console()
    for line in verdict.differences:
        console.print(f"{folder.key}: {line}")
    if verdict.differences:
        raise typer.Exit(1)
    steps = ", ".join(map(str, verdict.steps))
    console.print(f"{folder.key}: the same to the last bit in evaluated steps {steps}; not stale")
