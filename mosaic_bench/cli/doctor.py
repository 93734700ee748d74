"""``doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import importlib
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from mosaic_bench.cli.options import RESULTS, Data, Results
from mosaic_bench.cli.output import make_console, make_table, print_table
from mosaic_bench.cli.precision import bf16_advice

_EXTRAS = {"parquet": ("pyarrow", "export --to parquet"), "tensorboard": ("tensorboard", "export --to tensorboard")}

Finding = tuple[str, str, str]
"""What was looked at, what was found, and what to do about it; nothing to do when empty."""


def doctor(data: Data = None, results: Results = RESULTS) -> None:
    """Look at Python, devices, folders, data sets and optional packages; the exit code is 1 if runs cannot work."""
    console, table = make_console(), make_table("what", "found", "to do")
    for finding in [*_software(), *_compute(), *_data(data or ()), *_extras()]:
        table.add_row(*finding)
    blocked = False
    for finding in _folders(results):
        table.add_row(*finding)
        blocked = blocked or bool(finding[2])
    print_table(console, table)
    raise typer.Exit(1 if blocked else 0)


def _software() -> Iterator[Finding]:
    import torch

    from mosaic_bench import __version__

    yield "mosaic_bench", __version__, ""
    yield "Python", platform.python_version(), ""
    yield "torch", torch.__version__, ""


def _compute() -> Iterator[Finding]:
    import torch

    from mosaic_bench.engine.machine import bf16_speedup, devices
    from mosaic_bench.engine.slots import choose_devices, cores

    for device in devices() or ["none"]:
        yield "GPU", device, ""
    workers = cores()
    yield "CPU", f"{torch.backends.cpu.get_cpu_capability()}, {workers} cores: {workers} cells at a time", ""
    chosen = choose_devices("auto")[0]
    times = bf16_speedup(torch.device(chosen))
    yield f"bf16 on {chosen}", f"{times:.2g} times as fast as fp32", bf16_advice(times)


def _data(data: Sequence[Path]) -> Iterator[Finding]:
    from mosaic_bench.data import check_present, data_directories, known_datasets

    directories = data_directories(data)
    for name in known_datasets():
        missing = check_present(name, directories)
        yield f"data set {name}", "here" if missing is None else "absent", missing or ""


def _extras() -> Iterator[Finding]:
    for extra, (module, use) in _EXTRAS.items():
        here = _imports(module)
        yield use, "works" if here else f"{module} is absent", "" if here else f"pip install 'mosaic-bench[{extra}]'"


def _imports(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _folders(results: Path) -> Iterator[Finding]:
    from mosaic_bench.data.locate import CACHE_VARIABLE, cache_directory

    for what, folder, advice in (
        ("cache", cache_directory(), f"set {CACHE_VARIABLE} to a folder that takes files"),
        ("results", results, "choose another folder with --results"),
    ):
        works = _takes_files(folder)
        yield what, f"{folder} {'takes files' if works else 'takes no files'}", "" if works else advice


def _takes_files(folder: Path) -> bool:
    """True when the folder, or the nearest one above it that exists, takes files."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False
