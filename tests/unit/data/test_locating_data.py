"""Finding data sets: order of directories, names, and what is said when there is none."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from published import labelled, write_mnist, write_npz, write_svhn

from mosaic_bench.data import DataError, check_present, data_directories, known_datasets
from mosaic_bench.data.catalog import CATALOG
from mosaic_bench.data.formats import ImageFolder
from mosaic_bench.data.locate import locate


def test_the_seven_published_data_sets_are_known() -> None:
    published = {"mnist", "fmnist", "svhn", "cifar10", "cifar100", "tiny_imagenet", "food101"}
    assert published | {"digits", "toy2d"} == set(known_datasets())


@pytest.mark.parametrize("record", CATALOG.values(), ids=lambda record: record.name)
def test_every_record_is_complete(record) -> None:
    assert record.licence.endswith(".")
    assert record.citation.endswith(".")
    assert record.mean is None or len(record.mean) == len(record.std) == record.channels
    assert bool(record.files) == bool(record.locations)


def test_data_of_digits_is_never_mirrored() -> None:
    assert not any(CATALOG[name].flip for name in ("mnist", "svhn", "digits"))


def test_directories_of_the_command_line_come_before_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOSAIC_BENCH_DATA", "/first:/second")
    assert data_directories([Path("/cli")])[:3] == [Path("/cli"), Path("/first"), Path("/second")]


def test_the_first_directory_that_has_the_data_wins(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_npz(tmp_path / name / "own.npz")
    assert locate("own", [tmp_path, tmp_path / "b", tmp_path / "a"]).location == tmp_path / "b/own.npz"


def test_missing_data_is_one_sentence_with_what_to_type(tmp_path: Path) -> None:
    assert check_present("cifar10", [tmp_path]) == "no data: fetch it with `mosaic-bench data fetch cifar10`"
    assert check_present("digits", []) is None


def test_an_incomplete_data_set_counts_as_missing(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", labelled(12, 28, 1, 10), labelled(5, 28, 1, 10))
    assert check_present("mnist", [tmp_path]) is None
    (tmp_path / "mnist/t10k-labels-idx1-ubyte.gz").unlink()
    assert check_present("mnist", [tmp_path]) is not None


def test_a_misspelt_name_is_corrected(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"neither cifar1000.npz nor cifar1000/train/ is in .*; did you mean 'cifar100'\?"
    ):
        check_present("cifar1000", [tmp_path])


@pytest.mark.parametrize(("name", "place"), [("svhn", "svhn"), ("own", "own.npz")])
def test_a_directory_that_cannot_be_looked_into_holds_nothing(tmp_path: Path, name: str, place: str) -> None:
    write_npz(tmp_path / "own.npz")
    write_svhn(tmp_path / "svhn/train_32x32.mat", *labelled(5, 32, 3, 10))
    write_svhn(tmp_path / "svhn/test_32x32.mat", *labelled(5, 32, 3, 10))
    too_long = tmp_path / ("x" * 300)  # as a folder without the right to read it, to which root has every right
    assert locate(name, [too_long, tmp_path]).location == tmp_path / place


def test_image_folders_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "flowers/train/rose").mkdir(parents=True)
    with pytest.raises(DataError, match="flowers has no folder test or val beside train"):
        locate("flowers", [tmp_path])
    (tmp_path / "flowers/val/rose").mkdir(parents=True)
    assert isinstance(locate("flowers", [tmp_path]).format, ImageFolder)


def test_the_folder_of_a_system_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CATALOG["fmnist"].installed == (Path("/usr/share/dataset-fashion-mnist"),)
    write_mnist(tmp_path / "package", labelled(12, 28, 1, 10), labelled(5, 28, 1, 10))
    monkeypatch.setitem(CATALOG, "fmnist", replace(CATALOG["fmnist"], installed=(tmp_path / "package",)))
    assert locate("fmnist", []).location == tmp_path / "package"


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ("torch", "torchvision", "scipy", "sklearn", "matplotlib")
    code = f"import sys, mosaic_bench.data; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
