"""Checking that a data set is the right one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mosaic_bench.data.catalog import RemoteFile
from mosaic_bench.data.locate import Source, cache_directory, data_directories, locate
from mosaic_bench.data.prepared import NotPreparedError, decode, discard, prepared_folder, read_prepared, tensor_digest


@dataclass(frozen=True)
class Verification:
    """What was found about one data set.

    Attributes:
        location: where its files lie.
        files: each published file that is there, and whether it has the published checksum. A file packed anew has
            another one though its content may be right.
        train: number of training images.
        test: number of test images.
        complete: whether these are the published numbers; None for a data set of the user's own.
        digest: of the tensors, decoded anew.
        problem: what was wrong with the prepared copy, or None. That copy is removed, so the next run makes a new one.
    """

    location: Path
    files: tuple[tuple[Path, bool], ...]
    train: int
    test: int
    complete: bool | None
    digest: str
    problem: str | None


def verify(name: str, directories: Sequence[Path] | None = None, cache: Path | None = None) -> Verification:
    """Read a data set's files again, and compare with what is published and with the prepared copy.

    A prepared copy that is damaged or holds other images is removed.

    Args:
        name: as for `open_dataset`.
        directories: as for `open_dataset`.
        cache: as for `open_dataset`.

    Raises:
        DataError: if the data set is not found, its files are damaged, or a wrong copy cannot be removed.
    """
    source = locate(name, data_directories() if directories is None else directories)
    decoded = decode(source)
    digest = tensor_digest(decoded.arrays)
    numbers = (len(decoded.train), len(decoded.test))
    folder = prepared_folder(source, cache_directory() if cache is None else cache)
    problem = _cache_problem(folder, digest)
    if problem is not None:
        discard(folder)
    return Verification(
        location=source.location,
        files=_published_files(source),
        train=numbers[0],
        test=numbers[1],
        complete=None if source.record is None else numbers == (source.record.train, source.record.test),
        digest=digest,
        problem=problem,
    )


def _published_files(source: Source) -> tuple[tuple[Path, bool], ...]:
    from torchvision.datasets.utils import check_md5

    found = [(_beside(source.location, file), file) for file in (source.record.files if source.record else ())]
    return tuple((path, check_md5(path, file.md5)) for path, file in found if path.exists())


def _beside(location: Path, file: RemoteFile) -> Path:
    """Where a published file is: an archive beside the folder it unpacks to, any other file in the location itself."""
    folder = location.parent if file.unpacks_to else location
    return folder / Path(file.path).name


def _cache_problem(folder: Path, digest: str) -> str | None:
    if not folder.exists():
        return None
    try:
        prepared = read_prepared(folder)
    except NotPreparedError as error:
        return str(error)
    if prepared.digest != digest:
        return f"{folder} holds other images than the files: its digest is {prepared.digest}"
    return None
