"""Finding data sets on this machine, without reading them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from mosaic_bench.data.catalog import CATALOG, Record
from mosaic_bench.data.errors import DataError, MissingData
from mosaic_bench.data.formats import Format, ImageFolder, Npz
from mosaic_bench.errors import did_you_mean

DATA_VARIABLE = "MOSAIC_BENCH_DATA"
CACHE_VARIABLE = "MOSAIC_BENCH_CACHE"
BUNDLED = Path("(bundled)")


@dataclass(frozen=True)
class Source:
    """A data set on disk: its name, its reader, where it lies, and its catalog record unless it is the user's own."""

    name: str
    format: Format
    location: Path
    record: Record | None


def known_datasets() -> tuple[str, ...]:
    """Names of the data sets in the catalog."""
    return tuple(CATALOG)


def download_directory() -> Path:
    """The per-user data directory, where `data fetch` puts files unless told otherwise."""
    return user_cache_path("mosaic_bench") / "data"


def cache_directory() -> Path:
    """Where prepared data and measured costs are kept: the variable MOSAIC_BENCH_CACHE, or a per-user folder."""
    configured = os.environ.get(CACHE_VARIABLE)
    return Path(configured).expanduser() if configured else user_cache_path("mosaic_bench") / "prepared"


def data_directories(cli: Sequence[Path] = ()) -> list[Path]:
    """Where data sets are looked for, first match wins.

    These are the directories of the command line, those of the variable MOSAIC_BENCH_DATA (separated as in PATH), and
    the per-user directory that `data fetch` fills.
    """
    configured = os.environ.get(DATA_VARIABLE, "").split(os.pathsep)
    return [*cli, *(Path(part).expanduser() for part in configured if part), download_directory()]


def locate(name: str, directories: Sequence[Path]) -> Source:
    """Find a data set by name.

    A name outside the catalog means `NAME.npz`, or image folders `NAME/train/CLASS/`, in one of the directories.

    Raises:
        MissingData: for a data set of the catalog that lies in none of them.
        DataError: for a name that is neither in the catalog nor in a directory, or an image folder without test images.
    """
    record = CATALOG.get(name)
    return _locate_own(name, directories) if record is None else _locate_record(record, directories)


def check_present(name: str, directories: Sequence[Path]) -> str | None:
    """None where the data set is found, otherwise one sentence that says what to do. Nothing is decoded.

    Raises:
        DataError: as `locate`, for an unknown name.
    """
    try:
        locate(name, directories)
    except DataError as error:
        if name not in CATALOG:
            raise
        return str(error)
    return None


def _locate_record(record: Record, directories: Sequence[Path]) -> Source:
    if not record.files:
        return Source(record.name, record.format, BUNDLED, record)
    candidates = [directory / place for directory in directories for place in record.locations]
    for location in (*candidates, *record.installed):
        if _holds(record, location):
            return Source(record.name, record.format, location, record)
    raise MissingData(f"no data: fetch it with `mosaic-bench data fetch {record.name}`")


def _holds(record: Record, location: Path) -> bool:
    """Whether a whole copy lies there; a folder that cannot be read holds nothing."""
    try:
        return all(path.exists() for path in record.format.sources(location))
    except OSError:
        return False


def _locate_own(name: str, directories: Sequence[Path]) -> Source:
    # os.path's questions, since pathlib's raise where a folder may not be looked into.
    for directory in directories:
        archive, folder = directory / f"{name}.npz", directory / name
        if os.path.isfile(archive):
            return Source(name, Npz(), archive, None)
        if os.path.isdir(folder / "train"):
            if not any(os.path.isdir(folder / test) for test in ("test", "val")):
                raise DataError(f"{folder} has no folder test or val beside train.")
            return Source(name, ImageFolder(), folder, None)
    looked_in = ", ".join(str(directory) for directory in directories)
    raise DataError(
        f"unknown data set '{name}', and neither {name}.npz nor {name}/train/ is in {looked_in}"
        f"{did_you_mean(name, CATALOG)}"
    )
