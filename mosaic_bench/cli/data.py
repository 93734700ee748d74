"""``data``: fetch, verify and show data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from mosaic_bench.cli.loading import named_datasets
from mosaic_bench.cli.options import Data, Only, Plugin, Set
from mosaic_bench.cli.output import make_console
from mosaic_bench.cli.stores import is_suite_file
from mosaic_bench.errors import UserError

app = typer.Typer(help="Fetch, verify and show data sets.", no_args_is_help=True)


@app.command("fetch")
def fetch_command(
    targets: Annotated[
        list[str], typer.Argument(metavar="NAME|SUITE...", help="Data sets, or suite files for all that they name.")
    ],
    data: Annotated[Path | None, typer.Option("--data", help="Folder to put them in.")] = None,
) -> None:
    """Download data sets, with checksums. Files that are already there are kept."""
    from mosaic_bench.data.locate import download_directory

    names = dict.fromkeys(name for target in targets for name in _datasets_of(target))
    _fetch(names, download_directory() if data is None else data)


@app.command("verify")
def verify_command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Data sets.")], data: Data = None
) -> None:
    """Read data sets anew and compare them with what is published and with the prepared copies."""
    from mosaic_bench.data import data_directories
    from mosaic_bench.data.catalog import CATALOG
    from mosaic_bench.data.verify import verify

    console, problems = make_console(), False
    for name in names:
        found = verify(name, data_directories(data or ()))
        console.print(f"{name}: {found.train} training and {found.test} test images in {found.location}")
        console.print(f"  digest of the decoded tensors: {found.digest}")
        if found.complete is False:
            console.print(f"  a part of the published {CATALOG[name].train} and {CATALOG[name].test} images")
        for path, as_published in found.files:
            console.print(f"  {path.name}: {'as published' if as_published else 'not byte for byte as published'}")
        if found.problem is not None:
            console.print(f"  prepared copy: {found.problem}; the next run prepares it again")
            problems = True
    raise typer.Exit(1 if problems else 0)


@app.command("show")
def show_command(
    target: Annotated[str, typer.Argument(metavar="NAME|SUITE", help="Data set, or suite file.")],
    partition: Annotated[
        str | None, typer.Option(help="As in a suite file, e.g. '{dirichlet: {alpha: 0.1}}'. [default: iid]")
    ] = None,
    clients: Annotated[int | None, typer.Option(help="Number of clients. [default: 10]", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the partition. [default: 0]", min=0)] = None,
    train: Annotated[int | None, typer.Option(help="Use a fixed subset of this many training images.")] = None,
    data: Data = None,
    set_: Set = None,
    only: Only = None,
    plugin: Plugin = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
) -> None:
    """Show how a partition spreads a data set over clients: a table here, figures in a folder.

    Of a suite, every partition that its cells use is shown as the run makes it.
    """
    from mosaic_bench.cli.partitions import show_dataset, show_suite
    from mosaic_bench.suite import find_suite

    if is_suite_file(Path(target)):
        given = {"--partition": partition, "--clients": clients, "--seed": seed, "--train": train}
        _refuse(given, "describes a data set; for a suite use --only or --set")
        show_suite(find_suite(Path(target)), data, set_, only, plugin, out)
    else:
        _refuse({"--set": set_, "--only": only, "--plugin": plugin}, f"is for suites, and {target} is no .yaml file")
        show_dataset(target, "iid" if partition is None else partition, clients or 10, seed or 0, train, data, out)


def _refuse(options: Mapping[str, object], reason: str) -> None:
    for name, value in options.items():
        if value not in (None, []):
            raise UserError(f"{name} {reason}")


def _datasets_of(target: str) -> list[str]:
    """Return the data sets that a suite names for clients and server; any other name stands for itself."""
    file = Path(target)
    if not is_suite_file(file):
        return [target]
    from mosaic_bench.suite import find_suite, load_suite

    return named_datasets(planned.cell for planned in load_suite(find_suite(file)).cells)


def _fetch(names: Iterable[str], directory: Path) -> None:
    """Download to ``directory`` those of the data sets that are found nowhere."""
    from mosaic_bench.data import check_present, data_directories
    from mosaic_bench.data.catalog import CATALOG
    from mosaic_bench.data.fetch import fetch

    for name in names:
        if check_present(name, data_directories([directory])) is not None:
            fetch(CATALOG[name], directory)
        terms = f" Licence: {CATALOG[name].licence}" if name in CATALOG else ""
        print(f"{name}: present.{terms}")
