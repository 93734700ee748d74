"""Downloading published files. Nothing else in the package touches the network."""

import shutil
from pathlib import Path

from mosaic_bench.data.catalog import Record, RemoteFile
from mosaic_bench.data.errors import DataError


def fetch(record: Record, directory: Path) -> None:
    """Download and unpack every file of a data set that is not there yet, with a progress bar.

    A file that is there with the published checksum is not downloaded again, so an interrupted fetch goes on with the
    file it stopped at.

    Args:
        record: what to download.
        directory: the data directory to put it in.

    Raises:
        DataError: if a file cannot be had, or its checksum is wrong; the message says how to put it there by hand.
    """
    for file in record.files:
        fetch_file(file, directory, record.name)


def fetch_file(file: RemoteFile, directory: Path, name: str) -> None:
    """Download one file of the data set `name`, and unpack it if it is an archive. Arguments and errors as `fetch`."""
    from torchvision.datasets.utils import check_integrity

    target = directory / file.path
    unpacked = target.parent / file.unpacks_to if file.unpacks_to else None
    if unpacked is not None and unpacked.is_dir():
        return
    try:
        if not target.exists():
            _download(file, target, name)
        elif not check_integrity(target, file.md5):
            raise DataError(f"{target}: {_difference(target, file)}. Delete it and fetch again.")
        if unpacked is not None:
            _unpack(target, unpacked)
    except OSError as error:
        raise DataError(f"cannot write {name} to {directory}: {error}") from error


def _download(file: RemoteFile, target: Path, name: str) -> None:
    """Try one address after the other; the file appears under its name only once its checksum is right."""
    partial = target.with_name(target.name + ".part")
    failures = []
    for url in file.urls:
        failure = _try_download(url, file, partial)
        if failure is None:
            partial.replace(target)
            return
        failures.append(f"  {url}\n    {failure}")
    raise DataError(
        f"could not download {target.name} of {name}:\n" + "\n".join(failures) + "\n"
        f"To put it there by hand, get that file on another machine ({file.size} bytes, md5 {file.md5}), copy it to\n"
        f"  {target}\n"
        f"and run `mosaic-bench data fetch {name}` again."
    )


def _try_download(url: str, file: RemoteFile, partial: Path) -> str | None:
    """Download to `partial`. Returns why it failed, leaving nothing behind, or None."""
    from torchvision.datasets.utils import download_url

    try:
        download_url(url, str(partial.parent), filename=partial.name, md5=file.md5)
        return None
    # torchvision raises RuntimeError for a wrong checksum, and OSError for everything on the way there.
    except RuntimeError:
        failure = _difference(partial, file)
    except OSError as error:
        failure = str(error)
    partial.unlink(missing_ok=True)
    return failure


def _difference(path: Path, file: RemoteFile) -> str:
    from torchvision.datasets.utils import calculate_md5

    found = f"{path.stat().st_size} bytes, md5 {calculate_md5(path)}"
    return f"not the published file: found {found}, expected {file.size} bytes, md5 {file.md5}"


def _unpack(archive: Path, folder: Path) -> None:
    """Extract `archive`, whose checksum was right, so that `folder` appears whole or not at all."""
    from torchvision.datasets.utils import extract_archive

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        extract_archive(archive, partial)
        (partial / folder.name).rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
