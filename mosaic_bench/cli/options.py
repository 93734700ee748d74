"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_bench.errors import UserError


def _find_suite(file: Path) -> Path:
    from mosaic_bench.suite import find_suite

    return find_suite(file)


def _folders(paths: list[Path] | None) -> list[Path] | None:
    for path in paths or ():
        if not path.is_dir():
            raise UserError(f"--data {path}: there is no such folder")
    return paths


SuiteFile = Annotated[
    Path,
    typer.Argument(help="Suite file (YAML), or a name from `list suites`.", metavar="SUITE", callback=_find_suite),
]
Finished = Annotated[Path, typer.Argument(help="Suite file, suite name, or results folder.", metavar="SUITE")]
Results = Annotated[Path, typer.Option("--results", help="Folder of results; each suite gets a folder in it.")]
Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Folder to look for data sets in, before the others.", callback=_folders),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as local.lr=0.02. Repeatable.")]
Only = Annotated[list[str] | None, typer.Option("--only", help="AXIS=VALUE[,...], such as algorithm=fedavg,seed=0.")]
Plugin = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file that registers algorithms, models, partitions.")
]
Devices = Annotated[str, typer.Option("--devices", help="auto (every GPU, else the CPU), cpu, or cuda:0,cuda:1.")]

RESULTS = Path("results")
