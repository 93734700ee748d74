"""``merge``: two results folders of one suite become one. Reads and writes stores alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaic_bench.cli.output import amount_of_cells, make_console
from mosaic_bench.store import Store


def merge(
    first: Annotated[Path, typer.Argument(help="Results folder of a suite.", metavar="A")],
    second: Annotated[Path, typer.Argument(help="Another one of the same suite.", metavar="B")],
    into: Annotated[Path | None, typer.Option("--into", help="Folder for both. [default: A]", metavar="C")] = None,
) -> None:
    """Merge the results of one suite from two folders.

    Cells with the same key and the same numbers are kept once. Where numbers differ, both folders are named, nothing is
    overwritten, and the exit code is 1.
    """
    from mosaic_bench.store.merge import merge as merge_stores

    target, sources = (first, [second]) if into is None else (into, [first, second])
    Store(first).suite()  # a mistyped folder is no new one
    done = merge_stores(Store(target), [Store(source) for source in sources])
    console = make_console()
    console.print(f"{target}: {amount_of_cells(done.copied)} copied, {done.kept} kept")
    for sentence in [*done.running, *done.environments]:
        console.print(sentence)
    for sentence in done.conflicts:
        console.print(f"conflict: {sentence}")
    raise typer.Exit(1 if done.conflicts else 0)
