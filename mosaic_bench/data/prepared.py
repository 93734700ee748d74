"""The prepared cache: data sets decoded once, then memory-mapped by every process that trains on them.

A prepared data set is a folder of four numpy files and `meta.json`, written beside its final place and renamed, so it
is there whole or not at all. Every opening hashes the tensors again and compares with the recorded digest: about a
second per gigabyte, against which no altered or truncated copy is ever trained on. The pages are shared between
processes.
"""

import errno
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from mosaic_bench.data.catalog import Record
from mosaic_bench.data.dataset import Dataset, Split
from mosaic_bench.data.errors import DataError
from mosaic_bench.data.formats import Decoded
from mosaic_bench.data.locate import Source, cache_directory, data_directories, locate
from mosaic_bench.data.normalisation import channel_statistics

log = logging.getLogger(__name__)

# Raised when a reader decodes otherwise or the catalog's statistics change, so that older copies are not used.
READER_VERSION = 1
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NotPreparedError(Exception):
    """There is no prepared copy, or the one there is cannot be trusted."""


def open_dataset(name: str, directories: Sequence[Path] | None = None, cache: Path | None = None) -> Dataset:
    """Open a data set, preparing it first if this has not happened yet.

    Args:
        name: a data set of the catalog, or the name of an npz file or image folder.
        directories: where to look for it; None: as `data_directories()`.
        cache: where prepared data is kept; None: as `cache_directory()`.

    Raises:
        MissingData: if no copy of the data is found.
        DataError: if the name is unknown, the files are damaged, or the disk is full.
    """
    source = locate(name, data_directories() if directories is None else directories)
    return open_source(source, cache_directory() if cache is None else cache)


def open_source(source: Source, cache: Path) -> Dataset:
    """As `open_dataset`, for a data set that is already located."""
    folder = prepared_folder(source, cache)
    try:
        return read_prepared(folder)
    except NotPreparedError:
        return _prepare_once(source, folder)


def prepared_folder(source: Source, cache: Path) -> Path:
    """The cache folder of a source: it changes when a source file is moved, resized or written again.

    Raises:
        DataError: if a source file cannot be looked at.
    """
    stamp = hashlib.blake2b(f"{READER_VERSION} {source.name}".encode(), digest_size=6)
    with _reading(source):
        for path in source.format.sources(source.location):
            stamp.update(_stamp(path.resolve()))
        for path in source.format.contents(source.location.resolve()):
            stamp.update(_stamp(path))
    # A name may be the path of the user's file: the copy goes into the cache, not beside it.
    return cache / f"{Path(source.name).name}-{stamp.hexdigest()}"


def _stamp(path: Path) -> bytes:
    status = path.stat()
    return f" {path} {status.st_size} {status.st_mtime_ns}".encode("utf-8", "surrogateescape")


@contextmanager
def _reading(source: Source) -> Iterator[None]:
    """Say in one sentence what the system has against reading the files of a source."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {source.name} in {source.location}: {error}") from error


def read_prepared(folder: Path) -> Dataset:
    """Open a prepared data set, memory-mapped, after checking every byte.

    Raises:
        NotPreparedError: if there is none, or it was truncated or altered; the message says which.
    """
    try:
        meta = _unseal(json.loads((folder / "meta.json").read_bytes()))
        # Copy-on-write, so that torch takes the array without a warning while its pages stay shared.
        arrays = [np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ARRAYS]
        found = tensor_digest(arrays)
    except FileNotFoundError as error:
        raise NotPreparedError(f"{folder} is not prepared") from error
    # A damaged copy fails in whatever numpy's or json's parser happens to meet next.
    except Exception as error:
        raise NotPreparedError(f"{folder} was truncated or altered ({error})") from error
    if found != meta["digest"]:
        raise NotPreparedError(f"{folder} was altered: its tensors have digest {found}, expected {meta['digest']}")
    return Dataset(
        name=meta["name"],
        train=Split(arrays[0], arrays[1]),
        test=Split(arrays[2], arrays[3]),
        classes=tuple(meta["classes"]),
        mean=tuple(meta["mean"]),
        std=tuple(meta["std"]),
        flip=meta["flip"],
        digest=meta["digest"],
    )


def discard(folder: Path) -> None:
    """Remove a prepared copy. Processes that have it open keep what they see.

    Raises:
        DataError: if it cannot be removed.
    """
    try:
        with FileLock(f"{folder}.lock"):
            if folder.exists():  # another process may have been here before
                shutil.rmtree(folder)
    except OSError as error:
        raise DataError(f"cannot remove the prepared copy {folder}: {error}") from error


def decode(source: Source) -> Decoded:
    """Read a data set from its published files.

    Raises:
        DataError: if a file is missing, damaged or unreadable, or if it is another data set than its place says.
    """
    with _reading(source):
        decoded = source.format.decode(source.location)
    if source.record is not None:
        _check_shape(source.record, decoded, source.location)
    return decoded


def _check_shape(record: Record, decoded: Decoded, location: Path) -> None:
    expected = (record.size, record.size, record.channels)
    for split in (decoded.train, decoded.test):
        if split.images.shape[1:] != expected:
            raise DataError(f"{location}: images of shape {split.images.shape[1:]}, {record.title} has {expected}.")
    if len(decoded.classes) != record.num_classes:
        raise DataError(f"{location}: {len(decoded.classes)} classes, {record.title} has {record.num_classes}.")


def tensor_digest(arrays: Sequence[np.ndarray]) -> str:
    """32 hex digits over types, shapes and bytes of C-contiguous arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _prepare_once(source: Source, folder: Path) -> Dataset:
    """Prepare under a lock; whoever waited for it opens what the other has made."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            try:
                return read_prepared(folder)
            except NotPreparedError as error:
                if folder.exists():
                    log.warning("%s; preparing it again from %s", error, source.location)
            _prepare(source, folder)
            return read_prepared(folder)
    except NotPreparedError as error:
        raise DataError(f"{error}, right after it was written. Check this machine's disk and memory.") from error
    except OSError as error:
        raise _disk_error(source.name, folder.parent, error) from error


def _prepare(source: Source, folder: Path) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    # The lock is ours: a partial folder was left by a process that was killed.
    shutil.rmtree(partial, ignore_errors=True)
    decoded = decode(source)
    try:
        partial.mkdir()
        _write(source, decoded, partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(source: Source, decoded: Decoded, folder: Path) -> None:
    for name, array in zip(ARRAYS, decoded.arrays, strict=True):
        _save(folder / f"{name}.npy", array)
    (folder / "meta.json").write_text(
        json.dumps(_seal(_meta(source, decoded, tensor_digest(decoded.arrays))), indent=1)
    )


def _save(path: Path, array: np.ndarray) -> None:
    """As `np.save`, which would lose the reason when the disk is full."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _meta(source: Source, decoded: Decoded, digest: str) -> dict[str, Any]:
    record = source.record
    if record is None or record.mean is None or record.std is None:
        mean, std = channel_statistics(decoded.train.images)
    else:
        mean, std = record.mean, record.std
    return {
        "name": source.name,
        "classes": decoded.classes,
        "mean": mean,
        "std": std,
        # Nothing says that the user's own images may be mirrored.
        "flip": record is not None and record.flip,
        "digest": digest,
    }


def _seal(meta: dict[str, Any]) -> dict[str, Any]:
    return {**meta, "seal": _checksum(meta)}


def _unseal(sealed: dict[str, Any]) -> dict[str, Any]:
    meta = {key: value for key, value in sealed.items() if key != "seal"}
    if sealed["seal"] != _checksum(meta):
        raise ValueError("meta.json does not match its seal")
    return meta


def _checksum(meta: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(meta, sort_keys=True).encode(), digest_size=16).hexdigest()


def _disk_error(name: str, cache: Path, error: OSError) -> DataError:
    if error.errno not in DISK_FULL:
        return DataError(f"cannot prepare {name} in {cache}: {error}")
    return DataError(
        f"no space left while preparing {name} in {cache}; nothing was kept. "
        "Free some space, or set MOSAIC_BENCH_CACHE to a folder on another disk."
    )
