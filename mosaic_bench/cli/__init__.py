"""The command line: one file per verb. Verbs import what they need when they are called."""

from __future__ import annotations

import platform
import sys
from typing import Annotated

import typer

from mosaic_bench import __version__
from mosaic_bench.cli import (
    check,
    data,
    doctor,
    export,
    gate,
    listing,
    merge,
    new,
    plan,
    plots,
    report,
    run,
    show,
    status,
    tables,
    verify,
)
from mosaic_bench.errors import UserError

app = typer.Typer(
    name="mosaic_bench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("run")(run.run)
app.command("check")(check.check)
app.command("plan")(plan.plan)
app.command("status")(status.status)
app.command("show")(show.show)
app.command("verify")(verify.verify)
app.command("gate")(gate.gate)
app.command("tables")(tables.tables)
app.command("plots")(plots.plots)
app.command("report")(report.report)
app.command("merge")(merge.merge)
app.command("export")(export.export)
app.command("list")(listing.list_)
app.command("new")(new.new)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        print(_version())
        raise typer.Exit


def _version() -> str:
    """``mosaic_bench 0.1.0 (commit 0123456789ab, modified), torch 2.4.0``; nothing of it imports torch."""
    from importlib.metadata import version

    from mosaic_bench.revision import revision

    found = revision()
    commit = "" if found is None else f" (commit {found[0][:12]}{', modified' if found[1] else ''})"
    return f"mosaic_bench {__version__}{commit}, torch {version('torch')}, Python {platform.python_version()}"


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Federated-learning algorithms compared on one shared, resumable harness."""


def main() -> None:
    """Run the command line; bad input prints one line per fault and exits with 2."""
    try:
        app()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
