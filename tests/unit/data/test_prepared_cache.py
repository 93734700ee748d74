"""The prepared cache: made once, shared between processes, and never believed when it is damaged."""

import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import random_images, write_food101, write_jpeg, write_mnist, write_npz

from mosaic_bench.data import DataError, MissingData, open_dataset
from mosaic_bench.data.dataset import Split
from mosaic_bench.data.formats import Decoded, Format, Npz
from mosaic_bench.data.locate import Source
from mosaic_bench.data.prepared import NotPreparedError, discard, open_source, read_prepared
from mosaic_bench.data.verify import verify


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A data directory with one npz data set named `own`."""
    directory = tmp_path / "data"
    directory.mkdir()
    write_npz(directory / "own.npz")
    return directory


def prepared_folders(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.is_dir())


def test_opening_twice_gives_the_same_data_from_one_preparation(own: Path, tmp_path: Path) -> None:
    first = open_dataset("own", [own], tmp_path / "cache")
    made = prepared_folders(tmp_path / "cache")[0].stat()
    again = open_dataset("own", [own], tmp_path / "cache")
    assert prepared_folders(tmp_path / "cache")[0].stat().st_ino == made.st_ino
    assert again.digest == first.digest
    np.testing.assert_array_equal(again.train.images, random_images(40, 8, 3))
    assert (again.channels, again.size, again.num_classes, again.flip) == (3, 8, 4, False)


def test_mean_and_std_are_measured_where_none_are_published(own: Path, tmp_path: Path) -> None:
    dataset = open_dataset("own", [own], tmp_path / "cache")
    pixels = dataset.train.images / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean(axis=(0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(dataset.std, pixels.std(axis=(0, 1, 2)), atol=1e-4)


def test_recompressed_archives_give_the_same_digest(tmp_path: Path) -> None:
    import gzip

    images, labels = random_images(20, 28, 1), np.arange(20) % 10
    for level in (1, 9):
        folder = tmp_path / str(level) / "mnist"
        write_mnist(folder, (images, labels), (images, labels))
        for path in folder.iterdir():
            path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), level))
    archives = [(tmp_path / level / "mnist/train-images-idx3-ubyte.gz").read_bytes() for level in "19"]
    digests = [open_dataset("mnist", [tmp_path / level], tmp_path / "cache").digest for level in "19"]
    assert archives[0] != archives[1]
    assert digests[0] == digests[1]


def test_a_changed_source_is_prepared_anew(own: Path, tmp_path: Path) -> None:
    before = open_dataset("own", [own], tmp_path / "cache").digest
    write_npz(own / "own.npz", seed=7)
    assert open_dataset("own", [own], tmp_path / "cache").digest != before


@pytest.mark.parametrize(
    "name", ["train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy", "meta.json"]
)
@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_a_damaged_cache_file_is_refused_by_name_and_then_rebuilt(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    sound = open_dataset("own", [own], tmp_path / "cache")
    expected = sound.train.images.copy()
    [folder] = prepared_folders(tmp_path / "cache")
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content if damage == "flip" else content[:-2])

    with pytest.raises(NotPreparedError, match=f"{folder.name} was (truncated or )?altered"):
        read_prepared(folder)
    with caplog.at_level(logging.WARNING):
        rebuilt = open_dataset("own", [own], tmp_path / "cache")
    assert "preparing it again" in caplog.text
    assert rebuilt.digest == sound.digest
    np.testing.assert_array_equal(rebuilt.train.images, expected)


HEADERS = {
    "no tokens": b"{'descr': '|u1', 'fortran_order': False, 'shape': (40, 8, 8, 3",
    "no syntax": b"{'descr': '|u1' 'fortran_order' : False}",
    "another order": b"{'descr': '|u1', 'fortran_order': True, 'shape': (40, 8, 8, 3)}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_damaged_array_header_is_refused_and_the_copy_rebuilt(own: Path, tmp_path: Path, header: bytes) -> None:
    sound = open_dataset("own", [own], tmp_path / "cache").digest
    [folder] = prepared_folders(tmp_path / "cache")
    pixels = folder / "train_images.npy"
    content = pixels.read_bytes()
    start, length = 12, int.from_bytes(content[8:12], "little")
    pixels.write_bytes(content[:start] + header.ljust(length - 1) + b"\n" + content[start + length :])
    with pytest.raises(NotPreparedError, match=f"{folder.name} was truncated or altered"):
        read_prepared(folder)
    assert open_dataset("own", [own], tmp_path / "cache").digest == sound


class FaultyMemory(Decoded):
    """Holds another pixel every time it is looked at."""

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        self.train.images[0, 0, 0, 0] += 1
        return super().arrays


class FaultyFormat(Format):
    """Decodes into faulty memory."""

    def sources(self, location: Path) -> list[Path]:
        return []

    def decode(self, location: Path) -> Decoded:
        split = Split(random_images(10, 8, 1), np.arange(10))
        return FaultyMemory(split, split, tuple("0123456789"))


def test_a_copy_that_is_wrong_right_after_it_was_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"right after it was written. Check this machine's disk and memory"):
        open_source(Source("faulty", FaultyFormat(), tmp_path, None), tmp_path / "cache")


def test_a_cache_that_is_a_file_is_one_sentence(own: Path) -> None:
    with pytest.raises(DataError, match=r"cannot prepare own in .*own.npz"):
        open_dataset("own", [own], own / "own.npz")


def test_a_source_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read own in .*gone.npz"):
        open_source(Source("own", Npz(), tmp_path / "gone.npz", None), tmp_path / "cache")


def test_data_named_by_its_path_is_prepared_in_the_cache(own: Path, tmp_path: Path) -> None:
    open_dataset(str(own / "own"), [tmp_path], tmp_path / "cache")
    assert [path.name for path in own.iterdir()] == ["own.npz"]
    [folder] = prepared_folders(tmp_path / "cache")
    assert folder.name.startswith("own-")


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("unchanged", ["size", "time"])
def test_an_image_written_again_in_its_place_is_prepared_anew(tmp_path: Path, split: str, unchanged: str) -> None:
    for each in ("train", "test"):
        image = tmp_path / "own" / each / "cats/0.bmp"  # of one size whatever its pixels
        image.parent.mkdir(parents=True)
        Image.new("L", (8, 8), 1).save(image)
    open_dataset("own", [tmp_path], tmp_path / "cache")
    image = tmp_path / "own" / split / "cats/0.bmp"
    before = image.stat()
    Image.new("L", (8, 8), 200).save(image)
    if unchanged == "time":
        image.write_bytes(image.read_bytes() + b"more")
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        assert image.stat().st_size == before.st_size
    data = open_dataset("own", [tmp_path], tmp_path / "cache")
    assert getattr(data, split).images.max() == 200


def test_a_folder_of_images_is_prepared_once_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "test"):
        image = os.fsencode(tmp_path / "data/own" / split / "cats") + b"/caf\xe9.png"  # from an old archive
        os.makedirs(os.path.dirname(image))
        Image.new("L", (8, 8), 1).save(os.fsdecode(image))
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for directory in (tmp_path / "data", Path("data"), tmp_path / "link"):
        open_dataset("own", [directory], tmp_path / "cache")
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


def test_removing_a_copy_that_another_process_has_removed_is_no_error(tmp_path: Path) -> None:
    discard(tmp_path / "gone-0123")


def test_a_copy_that_verify_finds_wrong_is_not_used_again(tmp_path: Path) -> None:
    folder, cache = tmp_path / "food-101", tmp_path / "cache"
    classes = tuple(f"class {i}".replace(" ", "_") for i in range(101))
    entries = [(random_images(1, 64, 3, seed=i)[0], i) for i in range(101)]
    write_food101(folder, classes, {"train": entries, "test": entries[:1]})
    before = open_dataset("food101", [tmp_path], cache).train.images[0].copy()
    expected = write_jpeg(folder / "images/class_0/train0.jpg", 255 - entries[0][0])
    np.testing.assert_array_equal(open_dataset("food101", [tmp_path], cache).train.images[0], before)
    assert "holds other images than the files" in str(verify("food101", [tmp_path], cache).problem)
    np.testing.assert_array_equal(open_dataset("food101", [tmp_path], cache).train.images[0], expected)
    assert verify("food101", [tmp_path], cache).problem is None


def test_what_a_killed_preparation_left_is_cleared_away(own: Path, tmp_path: Path) -> None:
    open_dataset("own", [own], tmp_path / "cache")
    [folder] = prepared_folders(tmp_path / "cache")
    folder.rename(folder.with_name(folder.name + ".partial"))
    (tmp_path / "cache" / f"{folder.name}.partial" / "meta.json").write_text("{")
    open_dataset("own", [own], tmp_path / "cache")
    assert prepared_folders(tmp_path / "cache") == [folder]


def test_a_truncated_archive_leaves_nothing_prepared(own: Path, tmp_path: Path) -> None:
    (own / "own.npz").write_bytes((own / "own.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"own.npz: truncated or not an npz file"):
        open_dataset("own", [own], tmp_path / "cache")
    assert prepared_folders(tmp_path / "cache") == []


def test_missing_data_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="mosaic-bench data fetch svhn"):
        open_dataset("svhn", [tmp_path], tmp_path / "cache")


OPEN_AND_REPORT = """
import os, sys
from pathlib import Path
from mosaic_bench.data import DataError, open_dataset
try:
    open_dataset("own", [Path(sys.argv[1])], Path(sys.argv[2]))
except DataError as error:
    print(error)
    print("left:", [path.name for path in Path(sys.argv[2]).iterdir() if path.suffix != ".lock"])
"""


def assert_full_disk_was_reported(output: str, cache: Path) -> None:
    assert f"no space left while preparing own in {cache}; nothing was kept." in output
    assert "left: []" in output


def test_a_full_disk_during_preparation_leaves_nothing(own: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    write_npz(own / "own.npz", n=2000, size=32)
    mount = f'mount -t tmpfs -o size=1m none "{cache}" && exec "$0" "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    try:
        mountable = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        mountable = False
    if not mountable:
        pytest.skip("no right to mount a small file system")
    run = subprocess.run(
        [*command, sys.executable, "-c", OPEN_AND_REPORT, own, cache], capture_output=True, text=True, check=True
    )
    assert_full_disk_was_reported(run.stdout, cache)


def test_a_file_size_limit_during_preparation_leaves_nothing(own: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    write_npz(own / "own.npz", n=2000, size=32)
    run = subprocess.run(
        [sys.executable, "-c", OPEN_AND_REPORT, own, cache],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert_full_disk_was_reported(run.stdout, cache)


class CountedFormat(Format):
    """Takes a while to decode, and leaves a line in a file each time."""

    def sources(self, location: Path) -> list[Path]:
        return []

    def decode(self, location: Path) -> Decoded:
        with (location / "decoded").open("a") as file:
            file.write("once\n")
        time.sleep(0.3)
        split = Split(random_images(10, 8, 1), np.arange(10))
        return Decoded(split, split, tuple("0123456789"))


def open_at_the_barrier(directory: Path, barrier: Barrier) -> None:
    barrier.wait()
    open_source(Source("counted", CountedFormat(), directory, None), directory / "cache")


def test_simultaneous_preparations_do_it_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    workers = [spawn.Process(target=open_at_the_barrier, args=(tmp_path, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert (tmp_path / "decoded").read_text() == "once\n"


OPEN_AND_MEASURE = """
import sys
from pathlib import Path
import torch
from mosaic_bench.data import open_dataset
from mosaic_bench.data.device import DeviceImages

def copied_kilobytes():
    fields = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Anonymous"].split()[0])

before = copied_kilobytes()
dataset = open_dataset("own", [Path(sys.argv[1])], Path(sys.argv[2]))
images = DeviceImages(dataset.train, dataset, "cpu")
images.images.sum()
print(copied_kilobytes() - before, images.images.numel() // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's memory maps")
def test_a_worker_process_adds_no_copy_of_the_data(own: Path, tmp_path: Path) -> None:
    write_npz(own / "own.npz", n=10_000, size=32)
    open_dataset("own", [own], tmp_path / "cache")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", OPEN_AND_MEASURE, own, tmp_path / "cache"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    added, data = map(int, run.stdout.split())
    assert data == 30_000
    assert added < data / 5


def test_fashion_mnist_is_prepared_within_ten_seconds_and_opened_within_a_third(
    real_data: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    directories = real_data("fmnist")
    started = time.process_time()
    dataset = open_dataset("fmnist", directories, tmp_path)
    prepared = time.process_time()
    open_dataset("fmnist", directories, tmp_path)
    opened = time.process_time()
    assert prepared - started < 10
    assert opened - prepared < 0.3
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    # The published mean and standard deviation are those of these very pixels.
    scaled = dataset.train.images.astype(np.float32) / 255
    assert (round(float(scaled.mean()), 4), round(float(scaled.std()), 4)) == (dataset.mean[0], dataset.std[0])


def test_a_slice_of_tiny_imagenet_in_its_original_layout_is_read(
    real_data: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    dataset = open_dataset("tiny_imagenet", real_data("tiny_imagenet"), tmp_path)
    assert dataset.train.images.shape[1:] == (64, 64, 3)
    assert len(dataset.classes) == 200
    assert set(dataset.train.labels) == set(range(200))
    assert "Egyptian cat" in dataset.classes
