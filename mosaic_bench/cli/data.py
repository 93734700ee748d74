"""The verb `data`: fetch, verify and show data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from mosaic_bench.data import Dataset, audit, check_present, data_directories, open_dataset, parse_partition
from mosaic_bench.data.catalog import CATALOG
from mosaic_bench.data.errors import unknown_name
from mosaic_bench.data.locate import download_directory

WIDEST_TABLE = 20
UNLIMITED = 10_000

app = typer.Typer(help="Fetch, verify and show data sets.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Data sets.")]
DataDirectories = Annotated[list[Path], typer.Option("--data", help="Directory with data sets; may be repeated.")]


@app.command("fetch")
def fetch_command(
    names: Names,
    data: Annotated[Path | None, typer.Option("--data", help="Directory to put them in.")] = None,
) -> None:
    """Download data sets, with checksums. Files that are already there are kept."""
    fetch_datasets(names, download_directory() if data is None else data)


def fetch_datasets(names: Sequence[str], directory: Path) -> None:
    """Download to `directory` those of the data sets that are found nowhere."""
    from mosaic_bench.data.fetch import fetch

    for name in names:
        if name not in CATALOG:
            raise unknown_name("data set", name, CATALOG)
        if check_present(name, data_directories([directory])) is not None:
            fetch(CATALOG[name], directory)
        typer.echo(f"{name}: present. Licence: {CATALOG[name].licence}")


@app.command("verify")
def verify_command(names: Names, data: DataDirectories = []) -> None:  # noqa: B006 - typer copies it
    """Read data sets anew and compare them with what is published and with the prepared copies."""
    from mosaic_bench.data.verify import verify

    problems = False
    for name in names:
        found = verify(name, data_directories(data))
        typer.echo(f"{name}: {found.train} training and {found.test} test images in {found.location}")
        typer.echo(f"  digest of the decoded tensors: {found.digest}")
        if found.complete is False:
            typer.echo(f"  a part of the published {CATALOG[name].train} and {CATALOG[name].test} images")
        for path, as_published in found.files:
            typer.echo(f"  {path.name}: {'as published' if as_published else 'not byte for byte as published'}")
        if found.problem is not None:
            typer.echo(f"  prepared copy: {found.problem}; the next run prepares it again")
            problems = True
    raise typer.Exit(1 if problems else 0)


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="Data set.")],
    partition: Annotated[str, typer.Option(help="As in a suite file, e.g. '{dirichlet: {alpha: 0.1}}'.")] = "iid",
    clients: Annotated[int, typer.Option(help="Number of clients.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the partition.")] = 0,
    train: Annotated[int | None, typer.Option(help="Use a fixed subset of this many training images.")] = None,
    data: DataDirectories = [],  # noqa: B006 - typer copies it
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
) -> None:
    """Show how a partition spreads a data set over clients: a table here, figures in a folder."""
    from mosaic_bench.fed.seeds import numpy_rng

    dataset = open_dataset(name, data_directories(data)).subset(train)
    scheme = parse_partition(YAML(typ="safe").load(partition))
    parts = scheme.split(dataset.train.labels, clients, dataset.num_classes, numpy_rng(seed, "clients"))
    show_parts(dataset, parts, out / f"{name}-{clients}-clients-seed-{seed}")


def show_parts(dataset: Dataset, parts: Sequence[np.ndarray], stem: Path) -> None:
    """Print the audit of a partition and draw it to files whose names begin with `stem`."""
    from mosaic_bench.data.figures import plot_partition

    found = audit(dataset.train.labels, parts, dataset.num_classes)
    table = _table(found, dataset.num_classes)
    console = Console()
    # A table wider than the terminal is wrapped by the terminal rather than cut off.
    console.width = max(console.width, console.measure(table, options=console.options.update_width(UNLIMITED)).maximum)
    console.print(table)
    typer.echo(
        f"mean label entropy {found['mean_entropy']:.3f} nats, "
        f"mean total-variation distance to the global mix {found['mean_total_variation']:.3f}"
    )
    for path in plot_partition(found["table"], dataset.classes, stem):
        typer.echo(f"wrote {path}")


def _table(found: dict[str, Any], classes: int) -> Table:
    """One line per client: images, label entropy H in nats, total-variation distance TV, and images per class.

    With many classes their counts are left to the figures.
    """
    labels = range(classes if classes <= WIDEST_TABLE else 0)
    table = Table(box=None, pad_edge=False)
    for heading in ("client", "images", "H", "TV", *map(str, labels)):
        table.add_column(heading, justify="right", no_wrap=True)
    columns = zip(found["sizes"], found["entropy"], found["total_variation"], found["table"], strict=True)
    for client, (size, entropy, distance, counts) in enumerate(columns):
        numbers = (str(counts[label] or "·") for label in labels)
        table.add_row(str(client), str(size), f"{entropy:.2f}", f"{distance:.2f}", *numbers)
    return table
