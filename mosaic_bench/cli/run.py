"""``run``: run what is not done yet, then make the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mosaic_bench.cli.expectations import expected_seconds
from mosaic_bench.cli.loading import load_jobs, missing_data
from mosaic_bench.cli.options import RESULTS, Data, Devices, Only, Plugin, Results, Set, SuiteFile
from mosaic_bench.cli.output import amount_of_cells, make_console
from mosaic_bench.cli.precision import bf16_warning
from mosaic_bench.cli.progress import RunProgress
from mosaic_bench.cli.reproduce import rerun_options
from mosaic_bench.cli.tables import write_tables
from mosaic_bench.engine.rerun import Rerun, forget
from mosaic_bench.errors import UserError
from mosaic_bench.store import CellFolder, Store, reporting_a_full_disk

if TYPE_CHECKING:
    from mosaic_bench.engine.datasets import Datasets
    from mosaic_bench.engine.dispatch import Dispatcher
    from mosaic_bench.engine.resolve import Job
    from mosaic_bench.suite import RunSpec, Suite

Isolation = Literal["process", "none"]
Backend = Literal["local", "dask"]


def run(
    suite: SuiteFile,
    results: Results = RESULTS,
    data: Data = None,
    set_: Set = None,
    only: Only = None,
    plugin: Plugin = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Cells at a time; one per core, or per GPU.")
    ] = None,
    devices: Devices = "auto",
    per_device: Annotated[int | None, typer.Option(min=1, help="Cells that share a device.")] = None,
    isolation: Annotated[
        Isolation | None, typer.Option(help="One process per cell, or none; the suite's choice.")
    ] = None,
    no_share: Annotated[
        bool, typer.Option("--no-share", help="Let every cell do all its steps itself; the numbers are the same.")
    ] = False,
    backend: Annotated[Backend, typer.Option(help="This machine, or the workers of a Dask cluster.")] = "local",
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler, such as tcp://HOST:8786; one is started if not given."),
    ] = None,
    rerun: Annotated[
        Rerun | None, typer.Option(help="Start cells again from their first step: failed or stale ones, or all.")
    ] = None,
) -> None:
    """Run a suite: cells that are done are not repeated, cut ones go on where they were cut."""
    loaded, jobs, datasets = load_jobs(suite, data, set_, only, plugin)
    missing = missing_data(job for job in jobs if job.wanted)
    if missing:
        raise UserError("\n".join(missing))
    store = Store(results / loaded.name)
    store.check_writable()
    options = rerun_options(jobs, datasets, set_ or (), plugin or ())

    from mosaic_bench.engine.slots import choose_devices
    from mosaic_bench.engine.stages import plan_sharing, write_plan

    console, spec = make_console(), _with(loaded.run, isolation, no_share)
    make_dispatcher = _on(backend, scheduler, devices, workers, per_device, spec.threads)
    here = choose_devices(devices if backend == "local" else "auto")  # the workers of a cluster may have others
    seconds = expected_seconds(jobs, store, datasets, here[0], spec.threads)
    with reporting_a_full_disk(store.path):
        wanted = _describe(store, suite, options, loaded, jobs, datasets, seconds)
        if spec.prefixes:
            write_plan(store.prefixes, plan_sharing(jobs, datasets))
        if rerun is not None:
            forget(wanted, rerun)
    waiting = _waiting(wanted, seconds)
    console.print(f"{loaded.title}: {amount_of_cells(len(wanted))}, {len(wanted) - len(waiting)} done already")
    if backend == "local" and (slow := bf16_warning((wanted[each].cell.local.precision for each in waiting), here[0])):
        console.print(slow)
    titles = {folder.key: _title(wanted[folder], loaded) for folder in waiting}
    with RunProgress(console, titles, loaded.report.headline.metric) as progress:
        dispatcher = make_dispatcher(datasets.directories, spec, progress, plugin or ())
        dispatcher.dispatch(waiting)
    write_tables(store, console)
    raise typer.Exit(_exit_code(list(wanted), dispatcher.interrupted))


def _on(
    backend: Backend,
    scheduler: str | None,
    devices: str,
    workers: int | None,
    per_device: int | None,
    threads: int,
) -> Callable[..., Dispatcher]:
    """Return what makes the dispatcher that the options ask for."""
    from mosaic_bench.engine.slots import Slots, choose_devices, cores

    if backend == "dask":
        from mosaic_bench.engine.cluster import ClusterDispatcher

        if per_device is not None:
            raise UserError("--per-device is for this machine alone; a Dask worker runs one cell at a time")
        count = workers or max(1, cores() // threads)
        return partial(ClusterDispatcher, devices=devices, scheduler=scheduler, workers=count)
    if scheduler is not None:
        raise UserError("--scheduler is for --backend dask; add it")
    from mosaic_bench.engine.local import LocalDispatcher

    return partial(LocalDispatcher, slots=Slots(choose_devices(devices), workers, per_device, threads))


def _describe(
    store: Store,
    file: Path,
    options: list[str],
    suite: Suite,
    jobs: list[Job],
    datasets: Datasets,
    seconds: Mapping[str, float],
) -> dict[CellFolder, Job]:
    """Write the grid, and what each wanted cell is, before anything runs; return the wanted cells."""
    from mosaic_bench.engine.titles import table_titles

    wanted: dict[CellFolder, Job] = {}
    entries, met = [], set()
    for job in jobs:
        key = None if job.missing else job.key(datasets)
        expected = None if key is None else seconds[key]
        entries.append({"key": key, "coordinates": job.coordinates, "expected": expected})
        if job.wanted and key is not None and key not in met:  # two places of a grid may be one cell
            met.add(key)
            folder = store.cell(key)
            if not folder.exists:
                cell = job.cell.model_dump(mode="json", by_alias=True)
                folder.describe(
                    {
                        "key": key,
                        "suite": str(file.resolve()),
                        "options": options,
                        "coordinates": job.coordinates,
                        "cell": cell,
                    }
                )
            wanted[folder] = job
    store.write_suite(
        {
            "suite": suite.name,
            "title": suite.title,
            "file": str(file),
            "axes": suite.axes,
            "titles": table_titles(jobs),
            "reveals": {job.algorithm.name: sorted(job.algorithm.reveals) for job in jobs},
            "report": suite.report.model_dump(mode="json"),
            "cells": entries,
        }
    )
    return wanted


def _waiting(wanted: Iterable[CellFolder], seconds: Mapping[str, float]) -> list[CellFolder]:
    """Return the cells that are still to run, the longest first, and sweep the others."""
    waiting = []
    for folder in wanted:
        if folder.status().state.finished:
            folder.sweep()
        else:
            waiting.append(folder)
    return sorted(waiting, key=lambda folder: -seconds[folder.key])  # a long one that starts last runs alone


def _title(job: Job, suite: Suite) -> str:
    """Return what tells a cell from the others of its suite: ``fedavg · dirichlet(alpha=0.1) · seed 0``."""
    from mosaic_bench.suite.labels import telling

    labels = telling(job.coordinates, suite.axes)
    return " · ".join(f"seed {label}" if axis == "seed" else label for axis, label in labels.items())


def _with(spec: RunSpec, isolation: Isolation | None, no_share: bool) -> RunSpec:
    """Let options win over the suite."""
    return spec.model_copy(update={"isolation": isolation or spec.isolation} | ({"prefixes": 0} if no_share else {}))


def _exit_code(folders: list[CellFolder], interrupted: bool) -> int:
    """0 when every cell is done or unsupported, 130 after an interruption, else 1."""
    if interrupted:
        return 130
    return 0 if all(folder.status().state.finished for folder in folders) else 1
