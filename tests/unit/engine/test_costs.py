"""Costs known beforehand: what counts as alike, what is trusted most, and that growth is extrapolated exactly."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import cell as make_cell
from support import jobs_of

from mosaic_bench.api import ALGORITHMS, Algorithm, register
from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.cell_run import CellRun, run_cell
from mosaic_bench.engine.costs import Basis, Cost, Forecast, makespan
from mosaic_bench.engine.costs.flops import measure_model, training_flops
from mosaic_bench.engine.costs.shape import Images, cost_shape
from mosaic_bench.engine.costs.timing import TooSlow, _Stopwatch, time_cell
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.resolve import Job
from mosaic_bench.fed.flops import FlopCounter
from mosaic_bench.models import build
from mosaic_bench.store import CellFolder, State

CPU = torch.device("cpu")
SUITE = """
suite: costs
grid:
  algorithm: [{algorithm}]
  partition: [iid, {{dirichlet: {{alpha: 0.5}}}}]
  local.lr: [0.1, 0.2]
  seed: [0, 1]
dataset: {{name: digits, train: 300, test: 100}}
models: mlp
federation: {{clients: 3, rounds: 12}}
local: {{steps: 2, batch: 8}}
evaluate: {{every: 4}}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOSAIC_BENCH_CACHE", str(tmp_path / "cache"))


def jobs(tmp_path: Path, algorithm: str = "fedavg", **replaced: str) -> list[Job]:
    text = SUITE.format(algorithm=algorithm)
    for old, new in replaced.items():
        text = text.replace(old, new)
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    return jobs_of(file, [])


@pytest.fixture
def staged() -> Iterator[type[Algorithm]]:
    """An algorithm with a step per client, then server steps that grow; it counts what it did."""

    @register("staged", paper="none")
    class Staged(Algorithm):
        steps = 43  # type: ignore[assignment]  # 3 of clients, 40 of the server

        def setup(self) -> None:
            self.server = self.fed.model()
            self.pool = 0

        def step(self, t: int) -> None:
            if t < 3:
                for update in self.fed.train(self.fed.broadcast(self.server, [t])):
                    self.server.load_state_dict(update.state)
            else:
                self.pool += 1
                for _ in range(self.pool):
                    torch.ones(100, 100) @ torch.ones(100, 1000)

    yield Staged
    ALGORITHMS.pop("staged")


def test_seed_skew_and_learning_rate_cost_nothing_and_everything_else_does(tmp_path: Path) -> None:
    images = Images(1, 16, 10, 300, 100)
    assert len({cost_shape(job, images) for job in jobs(tmp_path)}) == 1
    shapes = {cost_shape(jobs(tmp_path)[0], images)}
    for old, new in [("rounds: 12", "rounds: 13"), ("batch: 8", "batch: 9"), ("mlp", "cnn"), ("every: 4", "every: 3")]:
        shapes.add(cost_shape(jobs(tmp_path, **{old: new})[0], images))
    shapes.add(cost_shape(jobs(tmp_path, "{name: feddf-data-free, params: {student_steps: 3}}")[0], images))
    shapes.add(cost_shape(jobs(tmp_path, "{name: feddf-data-free, params: {student_steps: 4}}")[0], images))
    shapes.add(cost_shape(jobs(tmp_path)[0], Images(1, 16, 10, 301, 100)))
    assert len(shapes) == 8


@pytest.mark.parametrize(
    ("arch", "above"), [("cnn", 0.1), ("resnet8", 0.1), ("convnet4", 0.1), ("mobilenet", 0.1), ("mlp", 0.5)]
)
def test_the_quick_count_of_a_model_is_near_the_ledgers(arch: str, above: float) -> None:
    """A backward pass needs twice the forward one, but for the first layer, which has no gradient to hand on."""
    images = Images(3, 32, 10, 100, 100)
    with FlopCounter() as counter:
        build(arch, channels=3, size=32, classes=10).train()(torch.zeros(2, 3, 32, 32))
    exact = counter.total / 2
    quick = training_flops(
        make_cell(models={"arch": arch}, federation={"clients": 1, "rounds": 1}, local={"steps": 1, "batch": 2}),
        images,
        [measure_model(arch, "batch", images)],
    )
    assert exact <= quick / 2 <= (1 + above) * exact


def test_training_flops_follow_the_budget_and_the_squares_of_the_widths() -> None:
    images, model = Images(3, 32, 10, 1000, 100), [measure_model("mlp", "batch", Images(3, 32, 10, 1000, 100))]
    base = {"federation": {"clients": 4, "rounds": 5}, "local": {"steps": 3, "batch": 10}}
    one = training_flops(make_cell(models="mlp", **base), images, model)
    assert one == 3 * model[0].flops * 3 * 10 * 4 * 5
    halved = training_flops(make_cell(models={"arch": "mlp", "widths": [1, 0.5, 0.5, 0.5]}, **base), images, model)
    assert halved == pytest.approx(one * (1 + 3 / 4) / 4)
    epochs = make_cell(models="mlp", **(base | {"local": {"epochs": 2, "batch": 10}}))
    assert training_flops(epochs, images, model) == 3 * model[0].flops * 2 * 250 * 4 * 5
    partial = make_cell(models="mlp", **(base | {"federation": {"clients": 4, "rounds": 5, "participation": 0.5}}))
    assert training_flops(partial, images, model) == one / 2


def test_finished_cells_count_more_than_timed_steps_and_those_more_than_flops(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    found, datasets = jobs(tmp_path), Datasets([])
    folders = [CellFolder(tmp_path / "cells" / job.key(datasets)) for job in found]
    entries = list(zip(found, folders, strict=True))
    forecast = Forecast(datasets, "cpu", 1)
    assert {cost.basis for cost in forecast.costs(entries)} == {Basis.FLOPS}
    forecast.calibrate(entries, 60)
    (timed,) = set(forecast.costs(entries))
    assert timed.basis is Basis.TIMED
    assert set(Forecast(datasets, "cpu", 1).costs(entries)) == {timed}  # remembered
    (elsewhere,) = set(Forecast(datasets, "cpu", 2).costs(entries))
    assert elsewhere.basis is Basis.FLOPS  # with other threads nothing was measured

    folder = folders[5]
    folder.describe({"cell": found[5].cell.model_dump(mode="json", by_alias=True)})
    assert run_cell(folder, CellRun([], CPU)) is State.DONE
    (finished,) = set(forecast.costs(entries))
    times = [step["time"] for step in folder.steps()]
    worked = times[-1]["client_seconds"] + times[-1]["server_seconds"] + sum(time["evaluate_seconds"] for time in times)
    kept = sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file())
    assert finished == Cost(pytest.approx(worked), kept, timed.checkpoint, Basis.FINISHED)
    assert timed.disk == pytest.approx(kept, rel=0.25)


def test_timing_writes_nothing_and_leaves_torch_as_it_was(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    found = jobs(tmp_path)[:1]
    state = torch.random.get_rng_state()
    Forecast(Datasets([]), "cpu", 2).calibrate([(found[0], CellFolder(tmp_path / "cells" / "x"))], 60)
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not (tmp_path / "cells").exists()


def test_growing_server_steps_are_extrapolated_along_their_line(tmp_path: Path, staged: type[Algorithm]) -> None:
    """The whole takes 40 * 41 / 2 products; flat extrapolation of the first few steps would expect some 200."""
    job = jobs(tmp_path, "staged")[0]
    torch.set_num_threads(1)
    watch = _Stopwatch(job, Bench(job.cell, job.partition, [], CPU, frozenset()), time.process_time)
    assert watch._changes(0, 42) == [3]
    ticks = iter(range(10**6))
    watch._now = lambda: next(ticks)  # every step takes one second, whatever the machine does
    flops = watch._stage(3, 43)
    grown = watch._algorithm.pool
    assert flops == pytest.approx(2 * sum(range(1, 41)) / (grown - 1 + grown), rel=1e-6)


def test_steps_that_take_too_long_are_cut_and_tell_the_speed_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs(tmp_path, **{"steps: 2": "steps: 100000", "batch: 8": "batch: 100"})[0]
    with pytest.raises(TooSlow) as cut:
        time_cell(job, [], CPU, 2.0)
    assert 1e6 < cut.value.speed < 1e13
    entries = [(job, CellFolder(tmp_path / "x"))]
    forecast = Forecast(Datasets([]), "cpu", 1)
    told: list[str] = []
    assumed = forecast.costs(entries)
    forecast.calibrate(entries, 1.0, told.append)
    assert (told, forecast.costs(entries)) == ([], assumed)  # another time there may be more time
    monkeypatch.setattr("mosaic_bench.engine.costs.forecast._LIMIT", 2.0)
    forecast.calibrate(entries, 60, told.append)
    assert told[0].startswith("fedavg: steps too long to time; FLOPs at ")
    (measured,) = forecast.costs(entries)
    assert measured.basis is Basis.FLOPS
    assert measured != assumed[0]


def test_an_algorithm_that_cannot_be_timed_is_reported_and_the_others_go_on(
    tmp_path: Path, staged: type[Algorithm], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Algorithm) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(staged, "setup", refuse)
    found = [*jobs(tmp_path, "staged")[:1], *jobs(tmp_path)[:1]]
    entries = [(job, CellFolder(tmp_path / job.algorithm.name)) for job in found]
    forecast = Forecast(Datasets([]), "cpu", 1)
    told: list[str] = []
    forecast.calibrate(entries, 60, told.append)
    assert told == ["staged: cannot be timed (RuntimeError: no)"]
    assert [cost.basis for cost in forecast.costs(entries)] == [Basis.FLOPS, Basis.TIMED]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"models": 3}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, damage: str) -> None:
    found = jobs(tmp_path)[:1]
    entries = [(found[0], CellFolder(tmp_path / "x"))]
    before = Forecast(Datasets([]), "cpu", 1).costs(entries)
    file = tmp_path / "cache" / "costs-1.json"
    json.loads(file.read_text())
    file.write_text(damage)
    assert Forecast(Datasets([]), "cpu", 1).costs(entries) == before
    assert json.loads(file.read_text())


@pytest.mark.parametrize(
    "entry",
    [
        *(None, 7, [], {}, {"flops": 1}, {"flops": 1, "parameters": "many"}, {"flops": float("nan"), "parameters": 1}),
        *({"flops": 1, "parameters": 2, "layers": 3}, {"seconds": 1.0, "disk": 1, "checkpoint": 1, "basis": []}),
        {"seconds": 1.0, "disk": -1, "checkpoint": 1, "basis": "timed"},
    ],
)
def test_a_damaged_entry_is_forgotten(tmp_path: Path, entry: object) -> None:
    found = jobs(tmp_path)[:1]
    entries = [(found[0], CellFolder(tmp_path / "x"))]
    forecast, file = Forecast(Datasets([]), "cpu", 1), tmp_path / "cache" / "costs-1.json"
    before = forecast.costs(entries)
    forecast.calibrate(entries, 60)
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({part: dict.fromkeys(kept, entry) for part, kept in whole.items()}))
    assert Forecast(Datasets([]), "cpu", 1).costs(entries) == before
    assert json.loads(file.read_text()) == {part: kept if part == "models" else {} for part, kept in whole.items()}


def test_the_longest_cells_first_over_two_workers() -> None:
    assert makespan([3, 3, 2, 2, 2], 2) == 7
    assert makespan([5, 1, 1, 1], 2) == 5
    assert makespan([], 2) == 0
