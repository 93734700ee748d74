"""What every algorithm has to keep to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest
import torch

from mosaic_bench.api import Algorithm, Unsupported
from mosaic_bench.conformance.federations import CPU, do_steps, federation, left_behind, run_until, started
from mosaic_bench.conformance.observed import ObservedServices
from mosaic_bench.conformance.scenarios import learnable_cell, short_cell
from mosaic_bench.data import Dataset, open_dataset
from mosaic_bench.data.device import DeviceImages
from mosaic_bench.engine.algorithms import find_algorithm
from mosaic_bench.engine.evaluate import evaluate
from mosaic_bench.engine.stages import Shared, ends, stages_of, write_plan
from mosaic_bench.store import CellFolder, State


@dataclass
class Run:
    """A whole run under observation; ``unsupported`` says why there was none."""

    services: ObservedServices
    dataset: Dataset
    algorithm: Algorithm | None = None
    unsupported: Unsupported | None = None

    @property
    def finished(self) -> Algorithm:
        """The algorithm after its last step; skips the test where it does not support the cell."""
        if self.algorithm is None:
            pytest.skip(str(self.unsupported))
        return self.algorithm


@pytest.fixture(scope="module")
def run(algorithm: str, clients: str, data_directory: Path) -> Run:
    """Run the algorithm once."""
    dataset, method = open_dataset("separable", [data_directory]), find_algorithm(algorithm)
    cell = learnable_cell(algorithm, clients)
    services = ObservedServices(federation(cell, dataset, method.reveals))
    torch.set_num_threads(1)
    try:
        instance = started(method, services, **cell.algorithm.params)  # type: ignore[arg-type]
        do_steps(instance, instance.steps)
    except Unsupported as reason:
        return Run(services, dataset, unsupported=reason)
    return Run(services, dataset, instance)


def test_unsupported_carries_one_sentence(run: Run) -> None:
    """Tables print the reason under a cell that shows n/a."""
    if run.unsupported is not None:
        reason = str(run.unsupported)
        assert len(reason.split()) >= 4, f"{reason!r} is no sentence"
        assert "\n" not in reason


def test_it_trains_the_cohort_that_every_method_gets(run: Run) -> None:
    """Round t trains cohort(t); a method whose steps are not rounds trains clients of cohort(0) or of its step's."""
    method, services = run.finished, run.services
    if method.steps == method.fed.rounds:
        assert services.trained == {t: method.fed.cohort(t) for t in range(method.steps)}
    else:
        for t, clients in services.trained.items():
            assert set(clients) <= {*method.fed.cohort(0), *method.fed.cohort(t)}


def test_it_starts_from_the_weights_that_every_method_gets(run: Run) -> None:
    """What clients train in step 0 is the seed's initial model of their architecture, or their slice of it."""
    assert run.finished
    assert run.services.trained.get(0), "no client trained in step 0"
    assert not run.services.strangers


def test_it_touches_clients_through_services_only(run: Run) -> None:
    """The harness's own attributes are not for algorithms: behind them lie the clients' images."""
    assert run.finished
    assert run.services.private == []


def test_the_models_that_clients_uploaded_stay_as_they_are(run: Run) -> None:
    """Distillation changes no parameter and no BatchNorm buffer of a teacher."""
    assert run.finished
    assert run.services.altered_models() == 0


def test_it_learns_images_that_are_easy_to_tell_apart(run: Run) -> None:
    """What would be deployed is finite and at least twice as good as guessing."""
    images = DeviceImages(run.dataset.test, run.dataset, CPU)
    server = run.finished.predictors()["server"]
    models = list(server.values()) if isinstance(server, Mapping) else [server]
    everything = torch.arange(len(images))
    scores = [evaluate(model, images, everything, run.finished.fed.autocast) for model in models]
    assert all(torch.isfinite(torch.tensor(score.nll)) for score in scores)
    assert fmean(score.accuracy for score in scores) > 2 / run.dataset.num_classes


@pytest.fixture(scope="module")
def whole(algorithm: str, clients: str, data_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> CellFolder:
    """Run a short cell without interruption."""
    folder = _folder(algorithm, clients, tmp_path_factory.mktemp("whole") / "cell")
    try:
        assert run_until(folder, [data_directory]) is State.DONE
    except Unsupported as reason:
        pytest.skip(str(reason))
    return folder


def test_running_it_again_gives_the_same_numbers(
    whole: CellFolder, algorithm: str, clients: str, data_directory: Path, tmp_path: Path
) -> None:
    """Every draw comes from the services' seeds."""
    again = _folder(algorithm, clients, tmp_path / "cell")
    run_until(again, [data_directory])
    assert left_behind(again) == left_behind(whole)


def test_stopping_after_every_step_changes_no_number(
    whole: CellFolder, algorithm: str, clients: str, data_directory: Path, tmp_path: Path
) -> None:
    """All that a method keeps between steps is saved and restored."""
    cut, steps = _folder(algorithm, clients, tmp_path / "cell"), whole.status().steps
    assert steps is not None
    states = [run_until(cut, [data_directory], stop_after=1) for _ in range(steps)]
    assert states == [State.INTERRUPTED] * (steps - 1) + [State.DONE]
    assert left_behind(cut) == left_behind(whole)


def test_going_on_from_where_another_cell_left_a_stage_changes_no_number(
    whole: CellFolder, algorithm: str, clients: str, data_directory: Path, tmp_path: Path
) -> None:
    """Stages change what they say they keep, and nothing else."""
    cell, method = short_cell(algorithm, clients), find_algorithm(algorithm)
    steps = tuple(ends(stages_of(cell, method, method.Params(**cell.algorithm.params))))
    if not steps:
        pytest.skip("it declares no stages")
    maker = _folder(algorithm, clients, tmp_path / "cells/maker")
    takers = {step: _folder(algorithm, clients, tmp_path / f"cells/after {step}") for step in steps}
    plan = {taker.key: Shared("", (step,)) for step, taker in takers.items()}
    write_plan(maker.prefixes, plan | {maker.key: Shared("", steps)})
    for folder in (maker, *takers.values()):
        assert run_until(folder, [data_directory], prefixes=10**9) is State.DONE
        assert left_behind(folder) == left_behind(whole)
    assert all(f"taken from cell {maker.key}" in taker.log.read_text() for taker in takers.values())


def test_another_methods_stage_comes_out_as_it_does_there(
    algorithm: str, clients: str, data_directory: Path, tmp_path: Path
) -> None:
    """The owner of the first stage goes on from where this method left it with the numbers that it has alone."""
    cell, method = short_cell(algorithm, clients), find_algorithm(algorithm)
    first = next(iter(stages_of(cell, method, method.Params(**cell.algorithm.params))), None)
    if first is None or first.owner is method:
        pytest.skip("its first stage is its own")
    owner = first.owner.name
    alone, maker, taker = (
        _folder(name, clients, tmp_path / "cells" / folder)
        for name, folder in ((owner, "alone"), (algorithm, "maker"), (owner, "taker"))
    )
    write_plan(maker.prefixes, {folder.key: Shared("", (first.steps,)) for folder in (maker, taker)})
    try:
        run_until(maker, [data_directory], prefixes=10**9)
    except Unsupported as reason:
        pytest.skip(str(reason))
    for folder in (alone, taker):
        assert run_until(folder, [data_directory], prefixes=10**9) is State.DONE
    assert f"taken from cell {maker.key}" in taker.log.read_text()
    assert left_behind(taker) == left_behind(alone)


def _folder(algorithm: str, clients: str, path: Path) -> CellFolder:
    """Describe a short cell in a new folder."""
    folder = CellFolder(path)
    document = short_cell(algorithm, clients).model_dump(mode="json", by_alias=True)
    folder.describe({"key": folder.key, "suite": "", "coordinates": {}, "cell": document})
    return folder
