"""What clients get: a table on the screen, figures in files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from mosaic_bench.cli.loading import load_jobs, missing_data
from mosaic_bench.cli.output import make_console, make_table, print_table
from mosaic_bench.data import Dataset, audit, data_directories, open_dataset
from mosaic_bench.engine.resolve import read_partition
from mosaic_bench.errors import UserError, writing
from mosaic_bench.fed.seeds import numpy_rng
from mosaic_bench.fed.split import Split, split
from mosaic_bench.partition_figure import plot_partition
from mosaic_bench.suite import Cell
from mosaic_bench.suite.labels import label
from mosaic_bench.suite.schema import long_form
from mosaic_bench.suite.source import parse_value

_WIDEST = 20  # classes; the counts of more are left to the figures


def show_dataset(
    name: str, partition: str, clients: int, seed: int, train: int | None, data: Sequence[Path] | None, out: Path
) -> None:
    """Show one partition of one data set.

    Args:
        name: the data set.
        partition: as a suite writes it.
        clients: number of clients.
        seed: seed of the partition.
        train: training images to use, a fixed subset; None for all.
        data: folders to look in before the usual ones.
        out: where the figures go.
    """
    spec = _parse(partition)
    scheme = read_partition(spec, lambda path: f"--partition {partition}")
    dataset = open_dataset(name, data_directories(data or ())).subset(train)
    labels = dataset.train.labels
    parts = scheme.split(labels, clients, dataset.num_classes, numpy_rng(seed, "clients"))
    of_dataset = {"name": name} if train is None else {"name": name, "train": train}
    title = _title(label(of_dataset), label(spec), f"{clients} clients", f"seed {seed}")
    _show(title, dataset, Split(parts, labels[:0], labels[:0]), out)


def show_suite(
    file: Path,
    data: Sequence[Path] | None,
    sets: Sequence[str] | None,
    only: Sequence[str] | None,
    plugins: Sequence[Path] | None,
    out: Path,
) -> None:
    """Show every partition of the wanted cells of a suite once; name the data sets that are not there."""
    _, jobs, datasets = load_jobs(file, data, sets, only, plugins)
    wanted = [job for job in jobs if job.wanted]
    distinct = {_title_of(job.cell): job for job in wanted if not job.missing}
    for title, job in distinct.items():
        cell = job.cell
        dataset = datasets.open(cell.dataset.name).subset(cell.dataset.train, cell.dataset.test)
        _show(title, dataset, split(cell, job.partition, dataset), out)
    for sentence in missing_data(wanted):
        print(sentence)


def _parse(partition: str) -> Any:
    """Read a partition as a suite would, short forms included."""
    try:
        return long_form("partition", parse_value(partition))
    except ValueError as error:
        raise UserError(f"--partition {partition}: not valid YAML") from error


def _title_of(cell: Cell) -> str:
    """Say all that a cell's split depends on; cells with equal titles have equal splits."""
    federation = cell.federation
    dataset = cell.dataset.model_dump(include={"name", "train"}, exclude_none=True)
    held = [f"validation {federation.validation:g}"] if federation.validation else []
    if federation.public is not None and federation.public.source == "train":
        held.append(f"public {federation.public.fraction:g}")
    return _title(label(dataset), label(cell.partition), f"{federation.clients} clients", *held, f"seed {cell.seed}")


def _title(*parts: str) -> str:
    return " · ".join(parts)


def _show(title: str, dataset: Dataset, split: Split, out: Path) -> None:
    """Print the audit of a split and draw it to files that are named after its title."""
    found = audit(dataset.train.labels, split.clients, dataset.num_classes)
    console = make_console()
    console.print(title)
    print_table(console, _table(found, dataset.num_classes))
    console.print(
        f"mean label entropy {found['mean_entropy']:.3f} nats, "
        f"mean total-variation distance to the global mix {found['mean_total_variation']:.3f}"
    )
    for name, held in (("validation", split.validation), ("public", split.public)):
        if len(held):
            console.print(f"{name} images that no client holds: {len(held)}")
    stem = out / re.sub(r"[^\w.=-]+", "-", title)
    with writing(stem):
        paths = plot_partition(found["table"], dataset.classes, stem)
    for path in paths:
        console.print(f"wrote {path}")


def _table(found: dict[str, Any], classes: int) -> Table:
    """One line per client: images, label entropy H in nats, total-variation distance TV, and images per class."""
    shown = range(classes if classes <= _WIDEST else 0)
    table = make_table("client", "images", "H", "TV", *map(str, shown), justify="right")
    columns = zip(found["sizes"], found["entropy"], found["total_variation"], found["table"], strict=True)
    for client, (size, entropy, distance, counts) in enumerate(columns):
        numbers = (str(counts[number] or "·") for number in shown)
        table.add_row(str(client), str(size), f"{entropy:.2f}", f"{distance:.2f}", *numbers)
    return table
