"""``export``: results for other programs. Reads the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mosaic_bench.cli.options import RESULTS, Finished, Results
from mosaic_bench.cli.stores import find_store
from mosaic_bench.errors import UserError, writing

Format = Literal["csv", "parquet", "tensorboard"]


def export(
    suite: Finished,
    to: Annotated[Format, typer.Option("--to", help="What to write.")] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File, or folder for TensorBoard. [default: in the results]")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Write every evaluated step of a suite that was run: metrics, costs and seconds."""
    from mosaic_bench.report.export import tidy_frame, write_csv, write_parquet, write_tensorboard
    from mosaic_bench.report.results import read_results

    store = find_store(suite, results)
    found = read_results(store)
    if not any(result.steps for result in found):
        raise UserError(f"{store.path}: no cell has an evaluated step yet; run the suite first")
    target = output or store.path / "export" / ("tensorboard" if to == "tensorboard" else f"steps.{to}")
    if output is not None and to == "tensorboard" and output.exists():
        raise UserError(f"--output {output}: is there already; remove it or choose another folder")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if to == "tensorboard":
            write_tensorboard(found, target)
        else:
            {"csv": write_csv, "parquet": write_parquet}[to](tidy_frame(found), target)
    print(target)
