"""``gate``: is a suite still what its reference says?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mosaic_bench.cli.options import RESULTS, Data, Finished, Only, Plugin
from mosaic_bench.cli.output import amount_of_cells, make_console, print_rows
from mosaic_bench.cli.run import Isolation, run
from mosaic_bench.cli.stores import find_store, is_suite_file
from mosaic_bench.errors import UserError
from mosaic_bench.store import Store

if TYPE_CHECKING:
    from mosaic_bench.report.drift import Drift
    from mosaic_bench.report.study import Study

_SENTENCES = 5  # changes of a cell that are printed
_HEADINGS = ("cell", "verdict", "accuracy", "before", "drift", "allowed", "norms/allowed")


def gate(
    suite: Finished,
    against: Annotated[Path, typer.Option(help="Folder of references, such as results/reference/ci.")],
    results: Annotated[
        Path | None, typer.Option(help="Folder of results to go on with, or to read; everything is run anew without.")
    ] = None,
    data: Data = None,
    only: Only = None,
    plugin: Plugin = None,
    workers: Annotated[int | None, typer.Option("--workers", "-j", min=1, help="Cells at a time.")] = None,
    isolation: Annotated[Isolation | None, typer.Option(help="One process per cell, or none.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Write the reference anew.")] = False,
    because: Annotated[str | None, typer.Option(help="Why; goes into the history of the references.")] = None,
) -> None:
    """Run a suite and compare it with its reference; exit with 1 for a drop or a change, with 0 for a mere gain."""
    if update != (because is not None):
        raise UserError("--update and --because REASON go together")
    if update and (only or not is_suite_file(suite)):
        raise UserError("--update takes a suite file, and all of its cells")
    if is_suite_file(suite):
        from mosaic_bench.suite import find_suite

        suite = find_suite(suite)
    how = {"data": data, "plugin": plugin, "workers": workers, "isolation": isolation}
    with _scratch() as scratch:
        if update and because is not None:
            _update(suite, against, because, results or scratch, scratch, how)
        elif is_suite_file(suite):
            _gate(_run(suite, _seed(suite, against, only), results or scratch, only, how), against, only)
        else:
            _gate(find_store(suite, results or RESULTS), against, only)


def _gate(store: Store, against: Path, only: Sequence[str] | None) -> None:
    """Compare a finished suite with its reference."""
    from mosaic_bench.report.drift import drifts
    from mosaic_bench.report.measured import measured
    from mosaic_bench.report.reference import read_reference
    from mosaic_bench.report.study import read_study

    study = read_study(store)
    reference = read_reference(against, study.suite)
    _check_fresh(study, [reference.seed], only)
    found = drifts(reference, measured(study, reference.seed, only or ()))
    if not found:
        raise UserError(f"{store.path}: no cell of seed {reference.seed}, which the reference is about")
    missing = [] if only else sorted(reference.cells.keys() - {drift.cell for drift in found})
    if missing:
        raise UserError(f"{store.path}: no '{missing[0]}', which the reference has; where that is meant, --update")
    _print(make_console(), study.title, found)
    raise typer.Exit(int(any(drift.fails for drift in found)))


def _update(suite: Path, against: Path, because: str, results: Path, scratch: Path, how: dict[str, Any]) -> None:
    """Run every seed, and the first one with other kernels, and write the reference."""
    from mosaic_bench.cli.probes import run_probes
    from mosaic_bench.report.reference import enough_seeds, make_reference, write_reference
    from mosaic_bench.report.study import read_study
    from mosaic_bench.suite import load_suite

    loaded = load_suite(suite)
    seeds = enough_seeds(loaded.name, loaded.axes)
    study = read_study(_run(suite, None, results, None, how))
    _check_fresh(study, seeds, None)
    options = [f"--only=seed={seeds[0]}", *_options("--data", how["data"]), *_options("--plugin", how["plugin"])]
    if how["workers"] is not None:
        options += ["--workers", str(how["workers"])]
    probes = [read_study(store) for store in run_probes(suite, study.suite, options, scratch)]
    file = write_reference(against, make_reference(study, probes, _made(study)), because)
    make_console().print(f"{file} written")


def _run(suite: Path, seed: str | None, results: Path, only: Sequence[str] | None, how: dict[str, Any]) -> Store:
    """Run what is not done yet, of one seed or of all."""
    wanted = [*(only or ()), *([f"seed={seed}"] if seed is not None else [])]
    try:
        run(suite, results=results, only=wanted or None, **how)
    except typer.Exit as end:
        if end.exit_code not in {0, 1}:
            raise
    return find_store(suite, results)


def _seed(suite: Path, against: Path, only: Sequence[str] | None) -> str:
    """The seed that a suite's reference is about.

    Raises:
        UserError: another one is asked for.
    """
    from mosaic_bench.report.reference import read_reference
    from mosaic_bench.suite import load_suite
    from mosaic_bench.suite.only import parse_only

    loaded = load_suite(suite)
    seed = read_reference(against, loaded.name).seed
    if set(parse_only(only or (), loaded.axes).get("seed", [seed])) != {seed}:
        raise UserError(f"--only: the reference is about seed {seed} alone; leave the seed out")
    return seed


def _check_fresh(study: Study, seeds: Sequence[str], only: Sequence[str] | None) -> None:
    """Refuse cells that say nothing about the present code.

    Raises:
        UserError: one of those that are compared is stale.
    """
    from mosaic_bench.suite.only import select

    asked = select([result.coordinates for result in study.results], only or (), study.axes)
    stale = [
        result.key
        for result, yes in zip(study.results, asked, strict=True)
        if yes and result.stale and result.coordinates.get("seed") in seeds
    ]
    if stale:
        raise UserError(f"{study.path}: {stale[0]} is stale, as the code has changed; `run --rerun stale`, then gate")


def _made(study: Study) -> dict[str, Any]:
    """When and from what a reference is made."""
    environment = next(result.folder.environment() for result in study.results if result.folder is not None)
    git = environment["git"]
    revision = "outside a checkout" if git is None else git["revision"][:12] + (" and changes" if git["dirty"] else "")
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    return {"date": date, "revision": revision, "numeric": environment["numeric"]}


def _print(console: Console, title: str, found: Sequence[Drift]) -> None:
    console.print(title)
    print_rows(console, _HEADINGS, [_row(drift) for drift in found], right=_HEADINGS[2:])
    for drift in found:
        for sentence in drift.changes[:_SENTENCES]:
            console.print(f"{drift.cell}: {sentence}")
        if len(drift.changes) > _SENTENCES:
            console.print(f"{drift.cell}: and {len(drift.changes) - _SENTENCES} more")
    failed = sum(drift.fails for drift in found)
    gains = sum(drift.verdict == "gain" for drift in found)
    console.print(
        f"{amount_of_cells(len(found))}: {failed} failed, {gains} only gained, {len(found) - failed - gains} the same"
    )


def _row(drift: Drift) -> tuple[str, ...]:
    """Accuracies in %, and the drift of the farthest norm or loss as a multiple of what it is allowed."""
    before, allowed = f"{100 * drift.before:.1f}", f"±{100 * drift.tolerance:.1f}"
    if drift.now is None:
        return drift.cell, drift.verdict, "--", before, "--", allowed, "--"
    moved = f"{100 * (drift.now - drift.before):+.1f}"
    return drift.cell, drift.verdict, f"{100 * drift.now:.1f}", before, moved, allowed, f"{drift.farthest:.2g}"


def _options(name: str, paths: Sequence[Path] | None) -> Iterator[str]:
    for path in paths or ():
        yield from (name, str(path))


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
