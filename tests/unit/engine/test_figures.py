"""Arrays that a cell leaves for figures: what is in them, and the same bytes however the cell came to its end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from grids import Grid
from studies import write_study
from support import describe, jobs_of, run_until

from baselines.client_generators import TERMS
from baselines.mosaic import Mosaic
from mosaic_bench.report.plots import Plot, draw_plots
from mosaic_bench.report.study import read_study
from mosaic_bench.store import CellFolder, State
from mosaic_bench.suite import PlotSpec

SMALL = {**Mosaic.conformance_params, "generator_steps": 21, "inversion_below": 89}  # its clients have 89 and 88 images
VARIANTS = [{"name": "mosaic", "params": SMALL | {"fusion": fusion}} for fusion in ("meta", "uniform")]

SUITE = """
suite: tiny
grid: {algorithm: [{name: mosaic, params: PARAMS}, {name: mosaic/average-generator, params: PARAMS}], seed: [0]}
dataset: {name: toy2d, train: 500, test: 300}
partition: {dirichlet: {alpha: 0.5}}
models: mlp
federation: {clients: 3, rounds: 3}
local: {steps: 3, batch: 16, lr: 0.05}
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two variants of the server's part on digits, each doing everything itself."""
    return Grid(tmp_path_factory.mktemp("figures") / "alone", VARIANTS, share=0).run()


def files(cell: CellFolder) -> dict[str, bytes]:
    """What a cell left."""
    return {file.name: file.read_bytes() for file in (cell.path / "figures").iterdir()}


def arrays(cell: CellFolder, name: str) -> dict[str, np.ndarray]:
    with np.load(cell.path / "figures" / f"{name}.npz", allow_pickle=False) as archive:
        return dict(archive)


def test_samples_are_pixels_of_every_clients_generator(alone: Grid) -> None:
    found = arrays(alone.cells[0], "samples")
    sizes = alone.cells[0].description()["partition"]["sizes"]
    assert found["kind"] == "samples"
    assert (found["images"].dtype, found["images"].shape) == (np.uint8, (2, 16, 16, 16, 1))
    assert [sizes[client] for client in found["clients"]] == found["sizes"].tolist()
    assert len(np.unique(found["images"].reshape(32, -1), axis=0)) == 32


def test_curves_hold_every_tenth_step_of_each_term_that_was_computed(alone: Grid) -> None:
    found = arrays(alone.cells[0], "generators")
    assert found["step"].tolist() == [0, 10, 20]
    curves = {name: found[f"curve/{name}"] for name in TERMS}
    assert {curve.shape for curve in curves.values()} == {(2, 3)}
    small = found["sizes"] < 89
    assert small.tolist().count(True) == 1, "the case: one of the clients is below the threshold"
    assert np.isfinite(curves.pop("inversion")).all(axis=1).tolist() == small.tolist()
    assert all(np.isfinite(curve).all() for curve in curves.values())
    assert (curves["discriminator"][:, -1] < curves["discriminator"][:, 0]).all()


def test_predictions_are_the_models_probabilities_on_fixed_test_images(alone: Grid) -> None:
    first, second = (arrays(cell, "predictions") for cell in alone.cells)
    assert np.array_equal(first["images"], second["images"])
    correct = np.unpackbits(np.frombuffer(alone.cells[0].read_correct(), np.uint8).reshape(5, -1), axis=1, count=60)
    for row, name in enumerate(alone.cells[0].status().correct):
        found = first[f"probability/{name}"]
        assert (found.dtype, found.shape) == (np.float16, (60, 10))
        assert found.astype(float).sum(1) == pytest.approx(np.ones(60), abs=2e-3)
        assert np.array_equal(found.argmax(1) == first["labels"], correct[row].astype(bool))
    assert not np.array_equal(first["probability/teacher"], second["probability/teacher"])


def drawn(cell: CellFolder, kind: str, path: Path) -> Plot:
    """The figure of one kind that a cell's arrays make, with its data."""
    store = write_study(path / kind, {"algorithm": ["mosaic"], "seed": ["0"]}, lambda coordinates: 0.5)
    shutil.copytree(cell.path / "figures", store.cell(f"{0:012x}").path / "figures")
    [plot] = draw_plots(read_study(store), PlotSpec.model_validate({"kind": kind}))
    return plot


def test_the_arrays_are_what_plots_draw(alone: Grid, tmp_path: Path) -> None:
    samples = drawn(alone.cells[0], "samples", tmp_path)
    assert samples.data.groupby(["client", "images of the client"]).size().to_dict() == {(0, 89): 16, (2, 88): 16}
    curves = drawn(alone.cells[0], "generator_curves", tmp_path)
    assert curves.data.groupby("quantity", sort=False).size().to_dict() == dict.fromkeys(TERMS, 2 * 3)
    assert samples.title == "Samples of the clients' generators: Mosaic†"


def test_shared_stages_leave_the_same_bytes(alone: Grid, tmp_path: Path) -> None:
    shared = Grid(tmp_path / "shared", VARIANTS).run()
    assert shared.fates()["taken"] > 0
    assert [files(cell) for cell in shared.cells] == [files(cell) for cell in alone.cells]


def test_every_second_is_counted_under_the_stage_it_was_spent_in(alone: Grid, tmp_path: Path) -> None:
    cut = Grid(tmp_path / "cut", VARIANTS[:1], share=0)
    cut.run_one(cut.cells[0], should_stop=lambda: True)
    cut.run()
    for cell in (alone.cells[0], cut.cells[0]):
        time = cell.steps()[-1]["time"]
        stages = {name: seconds for name, seconds in time.items() if name.startswith("seconds/")}
        assert set(stages) == {f"seconds/{name}" for name in ("warm_up", "upload", "generator", "fuse", "distil")}
        assert sum(stages.values()) == pytest.approx(time["client_seconds"] + time["server_seconds"])
        assert min(stages.values()) > 0


def test_stopping_after_every_step_leaves_the_same_bytes(alone: Grid, tmp_path: Path) -> None:
    cut = Grid(tmp_path / "cut", VARIANTS[:1], share=0)
    while cut.run_one(cut.cells[0], should_stop=lambda: True) is not State.DONE:
        assert not (cut.cells[0].path / "figures").exists()
    assert files(cut.cells[0]) == files(alone.cells[0])


def test_a_cell_that_is_forgotten_keeps_no_arrays(alone: Grid, tmp_path: Path) -> None:
    cell = Grid(tmp_path / "again", ["fedavg"], share=0).run().cells[0]
    assert set(files(cell)) == {"predictions.npz"}
    cell.forget()
    assert files(cell) == {}


def test_regions_are_what_the_models_answer_on_the_plane(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("PARAMS", json.dumps(SMALL)))
    jobs = jobs_of(tmp_path / "tiny.yaml", [])
    found = []
    for job in jobs:
        cell = describe(job, tmp_path / "cells", [])
        run_until(cell, [])
        found.append(arrays(cell, "regions"))
        assert not (cell.path / "figures/samples.npz").exists()
        column, row = (
            np.abs(found[-1][axis] - found[-1]["points"][:, [n]]).argmin(1) for n, axis in enumerate(("x", "y"))
        )
        on_the_grid = found[-1]["region/server"][row, column]
        accuracy = (on_the_grid == found[-1]["labels"]).mean()
        assert accuracy == pytest.approx(cell.steps()[-1]["metrics"]["acc/server@test"], abs=0.05)
    own, averaged = (each["samples/server"].reshape(-1, 3, 2) for each in found)
    assert own.shape == (75, 3, 2)
    spread = [torch.from_numpy(points).mean(0).std(0).sum() for points in (own, averaged)]
    assert spread[1] < spread[0], "one averaged generator stands at the same place for every client"
