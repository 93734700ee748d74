"""``plan``: what would be run, and what it would cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_bench.cli.loading import load_jobs, missing_data
from mosaic_bench.cli.options import RESULTS, Data, Devices, Only, Plugin, Results, Set, SuiteFile
from mosaic_bench.cli.output import amount_of_bytes, amount_of_cells, duration, make_console, print_rows
from mosaic_bench.errors import UserError
from mosaic_bench.store import Status, Store, shown_state

if TYPE_CHECKING:
    from mosaic_bench.engine.costs import Cost

_AFFORDABLE = 60.0  # seconds that timing takes when nobody asked for it
_UNLIMITED = 1e9
_SIGNS = {"finished": "", "timed": "≈ ", "flops": "~ "}  # by what is known of a cell's cost


def plan(
    suite: SuiteFile,
    results: Results = RESULTS,
    data: Data = None,
    set_: Set = None,
    only: Only = None,
    plugin: Plugin = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Cells at a time; one per core.")
    ] = None,
    devices: Devices = "auto",
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibration",
            help="Time a few steps of every kind of cell, or of none. [default: what takes a minute]",
            show_default=False,
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=1e6, help="Plan for a GPU that is not here, of so many FLOP/s, such as 1e13."),
    ] = None,
) -> None:
    """List the cells of a suite with their states and what they are expected to cost."""
    if speed is not None and calibrate:
        raise UserError("--calibrate times steps on this machine, and --speed plans for another; leave one out")
    loaded, jobs, datasets = load_jobs(suite, data, set_, only, plugin)

    from mosaic_bench.engine.costs import Forecast
    from mosaic_bench.engine.slots import Slots, choose_devices

    wanted = [job for job in jobs if job.wanted]
    store, found = Store(results / loaded.name), choose_devices(devices)
    slots = Slots(found, workers, None, loaded.run.threads)
    entries = [(job, None if job.missing else store.cell(job.key(datasets))) for job in wanted]
    states = [None if folder is None else folder.status() for _, folder in entries]
    console = make_console()
    console.print(f"{loaded.title}: {amount_of_cells(len(wanted))}")
    forecast = Forecast(datasets, found[0], loaded.run.threads)
    if speed is None and calibrate is not False:
        forecast.calibrate(entries, _UNLIMITED if calibrate else _AFFORDABLE, console.print)
    costs = forecast.costs(entries) if speed is None else forecast.costs_at(entries, speed)
    rows = [
        (
            "--" if folder is None else folder.key,
            *job.coordinates.values(),
            "no data" if folder is None else shown_state(folder).value,
            _SIGNS[cost.basis] + duration(cost.seconds),
        )
        for (job, folder), cost in zip(entries, costs, strict=True)
    ]
    print_rows(console, ("key", *loaded.axes, "state", "expected"), rows, right=("expected",))
    here = found[0] == "cpu" and speed is None
    unit, at_a_time = "core" if here else "GPU", slots.count if speed is None else workers or 1
    for line in [*_summary(states, costs, at_a_time, unit, speed or forecast.speed), *missing_data(wanted)]:
        console.print(line)


def _summary(
    states: Sequence[Status | None], costs: Sequence[Cost], workers: int, unit: str, speed: float
) -> list[str]:
    """Say what is left to do, what it needs, and how far these numbers can be trusted."""
    from mosaic_bench.engine.costs import Basis, makespan

    todo = [
        (cost, _left(status))
        for cost, status in zip(costs, states, strict=True)
        if status is None or not status.state.finished
    ]
    if not todo:
        return ["nothing to do"]
    seconds = [cost.seconds * left for cost, left in todo]
    hours = sum(seconds) / 3600
    kept = sum(cost.disk for cost in costs)
    checkpoints = sum(sorted((cost.checkpoint for cost, _ in todo), reverse=True)[:workers])
    lines = [
        f"to do: {amount_of_cells(len(todo))}, {hours:,.{0 if hours >= 10 else 2}f} {unit}-hours; "
        f"about {duration(makespan(seconds, workers))} with {workers} at a time",
        f"on disk: {amount_of_bytes(kept)} when all is done, {amount_of_bytes(checkpoints)} of checkpoints meanwhile",
    ]
    bases = {cost.basis for cost, _ in todo}
    if Basis.TIMED in bases:
        lines.append("≈ from a few timed steps")
    if Basis.FLOPS in bases:
        lines.append(
            f"~ from FLOPs of local training and evaluation, at an assumed {speed / 1e9:,g} GFLOP/s or what a "
            "cut timing reached; what the server does comes on top"
        )
    return lines


def _left(status: Status | None) -> float:
    """The share of an unfinished cell's steps that is still to do."""
    if status is None or not status.steps:
        return 1.0
    return 1 - status.step / status.steps
