"""``run``: run what is not done yet, then make the tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from mosaic_bench.cli.loading import load_jobs
from mosaic_bench.cli.options import RESULTS, Data, Only, Plugin, Results, Set, SuiteFile
from mosaic_bench.cli.progress import RunProgress
from mosaic_bench.cli.tables import write_tables
from mosaic_bench.errors import UserError
from mosaic_bench.store import CellFolder, State, Store
from mosaic_bench.suite import RunSpec, Suite

if TYPE_CHECKING:
    from mosaic_bench.engine.resolve import Job

Isolation = Literal["process", "none"]


def run(
    suite: SuiteFile,
    results: Results = RESULTS,
    data: Data = None,
    set_: Set = None,
    only: Only = None,
    plugin: Plugin = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Cells at a time; one per core.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, or cuda:N.")] = "auto",
    isolation: Annotated[
        Isolation | None, typer.Option(help="One process per cell, or none; the suite's choice.")
    ] = None,
) -> None:
    """Run a suite: cells that are done are not repeated, cut ones go on where they were cut."""
    loaded, jobs, directories = load_jobs(suite, data, set_, only, plugin)
    missing = dict.fromkeys(job.missing for job in jobs if job.missing and job.wanted)
    if missing:
        raise UserError("\n".join(str(sentence) for sentence in missing))
    store = Store(results / loaded.name)
    store.check_writable()
    wanted = _describe(store, suite, loaded, jobs, directories)

    from mosaic_bench.engine.dispatch import Dispatcher
    from mosaic_bench.engine.slots import choose_device, default_workers

    console = Console()
    waiting = {folder: job.title for folder, job in wanted.items() if not folder.status().state.finished}
    console.print(f"{loaded.title}: {len(wanted)} cells, {len(wanted) - len(waiting)} done already", highlight=False)
    titles = {folder.key: title for folder, title in waiting.items()}
    with RunProgress(console, titles, loaded.report.headline.metric) as progress:
        chosen = choose_device(device)
        dispatcher = Dispatcher(
            directories,
            chosen,
            workers or default_workers(chosen),
            _with(loaded.run, isolation),
            progress,
            plugin or (),
        )
        dispatcher.dispatch(list(waiting))
    write_tables(store, console)
    raise typer.Exit(_exit_code(list(wanted), dispatcher.interrupted))


def _describe(
    store: Store, file: Path, suite: Suite, jobs: list[Job], directories: list[Path]
) -> dict[CellFolder, Job]:
    """Write the grid, and what each wanted cell is, before anything runs; return the wanted cells."""
    wanted, entries = {}, []
    for job in jobs:
        key = None if job.missing else job.key(directories)
        entries.append({"key": key, "coordinates": job.coordinates})
        if job.wanted and key is not None:
            folder = store.cell(key)
            if not folder.exists:
                cell = job.cell.model_dump(mode="json", by_alias=True)
                folder.describe({"key": key, "suite": str(file), "coordinates": job.coordinates, "cell": cell})
            wanted[folder] = job
    store.write_suite(
        {
            "suite": suite.name,
            "title": suite.title,
            "file": str(file),
            "axes": suite.axes,
            "titles": {job.algorithm.name: job.algorithm.title for job in jobs},
            "report": suite.report.model_dump(mode="json"),
            "cells": entries,
        }
    )
    return wanted


def _with(spec: RunSpec, isolation: Isolation | None) -> RunSpec:
    return spec if isolation is None else spec.model_copy(update={"isolation": isolation})


def _exit_code(folders: list[CellFolder], interrupted: bool) -> int:
    """0 when every cell is done or unsupported, 130 after an interruption, else 1."""
    if interrupted:
        return 130
    return 0 if all(folder.status().state in {State.DONE, State.UNSUPPORTED} for folder in folders) else 1
