"""What examples/ shows works as it stands, and so does what ``new`` writes."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from published import write_cifar_batch, write_python2_pickle

from mosaic_bench.data import open_dataset
from mosaic_bench.store import State, Store

EXAMPLES = Path(__file__).parents[1] / "examples"


def python(*arguments: object, folder: Path, path: str = "", data: Path | None = None) -> str:
    """Run Python in a folder and return what it printed; ``data`` is where it looks for data sets."""
    variables = os.environ | {"COLUMNS": "200", "MOSAIC_BENCH_CACHE": str(folder / "cache")}
    variables |= {} if data is None else {"MOSAIC_BENCH_DATA": str(data)}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [path, str(EXAMPLES.parent)]))
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def accuracies(folder: Path, axis: str) -> dict[str, list[float]]:
    """Accuracies of all cells by the labels of an axis, in the order of the grid."""
    store, found = Store(folder), {}
    for entry in store.suite()["cells"]:
        cell = store.cell(entry["key"])
        assert cell.status().state is State.DONE
        found.setdefault(entry["coordinates"][axis], []).append(cell.steps()[-1]["metrics"]["acc/server@test"])
    return found


def test_own_images_are_the_same_data_set_as_file_and_as_folder(tmp_path: Path) -> None:
    python(EXAMPLES / "own_images/make_images.py", "mine", folder=tmp_path)
    suite = EXAMPLES / "own_images/suite.yaml"
    python("-m", "mosaic_bench", "run", suite, "--data", "mine", "--isolation", "none", folder=tmp_path)
    found = accuracies(tmp_path / "results/own_images", "dataset")
    assert found["strokes"] == found["strokes_png"]
    assert found["strokes"][1] > 0.8  # fedavg


def test_the_small_cifar10_is_made_from_the_published_one(tmp_path: Path, real_data: Callable[..., list[Path]]) -> None:
    """The images of the results, shuffled into archives of the published layout, come out as they were."""
    small = open_dataset("cifar10-small", real_data("cifar10-small"))
    images, labels = (
        np.concatenate([getattr(part, name) for part in (small.train, small.test)]) for name in ("images", "labels")
    )
    order = np.random.default_rng(0).permutation(len(images))
    folder = tmp_path / "data/cifar-10-batches-py"
    for name, part in zip([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], np.split(order, 6), strict=True):
        write_cifar_batch(folder / name, images[part], labels[part])
    write_python2_pickle(folder / "batches.meta", {b"label_names": [name.encode() for name in small.classes]})
    make = EXAMPLES / "cifar10_small/make_images.py"
    assert python(make, "made", folder=tmp_path, data=tmp_path / "data").endswith(
        f"digest {small.digest}, as in the results\n"
    )
    write_cifar_batch(folder / "test_batch", images[order[:2000]], labels[order[:2000]])
    with pytest.raises(AssertionError, match=r"2000 of 12000 images are not in cifar10"):
        python(make, "again", folder=tmp_path, data=tmp_path / "data")


def test_a_model_and_a_partition_of_ones_own_run_from_plugin_files(tmp_path: Path) -> None:
    plugins = [part for name in ("plainnet", "geometric") for part in ("--plugin", EXAMPLES / f"{name}.py")]
    run = ["-m", "mosaic_bench", "run", EXAMPLES / "own_parts.yaml", *plugins]
    python(*run, "--isolation", "none", folder=tmp_path)
    assert len(accuracies(tmp_path / "results/own_parts", "partition")["geometric(ratio=0.6)"]) == 4
    store = Store(tmp_path / "results/own_parts")
    entry = next(e for e in store.suite()["cells"] if e["coordinates"]["partition"] == "geometric(ratio=0.6)")
    sizes = store.cell(entry["key"]).description()["partition"]["sizes"]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] / sizes[0] == pytest.approx(0.6, abs=0.1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The out-of-tree package, built and installed into a folder of its own."""
    out, tree = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("fl_median")
    for file in (EXAMPLES / "fl_median").glob("*.*"):
        (tree / file.name).write_bytes(file.read_bytes())
    python("-c", f"from setuptools import build_meta as b; b.build_wheel({str(out)!r})", folder=tree)
    [wheel] = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(out / "site")
    return out / "site"


def test_a_package_of_its_own_adds_an_algorithm_that_conforms(site: Path, tmp_path: Path) -> None:
    out = python(
        *("-m", "pytest", "-q", "--pyargs", "mosaic_bench.conformance", "--algorithm", "median"),
        *("-p", "no:cacheprovider"),
        folder=tmp_path,
        path=str(site),
    )
    assert " passed" in out or "[100%]" in out
    listed = python("-m", "mosaic_bench", "list", "algorithms", folder=tmp_path, path=str(site))
    assert "Yin et al., ICML 2018" in listed


def test_what_new_writes_passes_its_own_test_and_runs(tmp_path: Path) -> None:
    printed = python("-m", "mosaic_bench", "new", "fed-best", folder=tmp_path)
    assert "pytest test_fed_best.py" in printed
    python("-m", "pytest", "-q", "test_fed_best.py", folder=tmp_path)
    suite = ["quickstart", "--plugin", "fed_best.py", "--set", "grid.algorithm=[fedavg, fed-best]"]
    suite += ["--set", "suite=fed_best"]
    python("-m", "mosaic_bench", "run", *suite, "--set", "grid.seed=[0]", "--isolation", "none", folder=tmp_path)
    found = accuracies(tmp_path / "results/fed_best", "algorithm")
    assert found["fedavg"][0] == found["fed-best"][0]  # server_lr is 1 unless said otherwise
    again = subprocess.run(
        [sys.executable, "-m", "mosaic_bench", "new", "fed-best"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
    )
    assert (again.returncode, again.stderr) == (
        2,
        "error: fed_best.py: exists already; choose another name or --folder\n",
    )
