"""Mosaic on Fashion-MNIST, interrupted in every stage: clients alike, cut in width, of different architectures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import exact, run_until

from baselines.mosaic import Mosaic
from mosaic_bench.store import CellFolder, State
from mosaic_bench.suite import Cell

MODELS: dict[str, Any] = {
    "alike": {"arch": "resnet8", "width": 0.25},
    "static": {"arch": "resnet8", "width": 0.25, "widths": [1.0, 0.5], "extract": "static"},
    "rolling": {"arch": "resnet8", "width": 0.25, "widths": [1.0, 0.5], "extract": "rolling"},
    "families": {"arch": ["cnn", "resnet8"], "width": 0.125},
}


def _folder(path: Path, models: dict[str, Any]) -> CellFolder:
    cell = Cell.model_validate(
        {
            "algorithm": {"name": "mosaic", "params": {**Mosaic.conformance_params, "last_rounds": 1}},
            "dataset": {"name": "fmnist", "train": 300, "test": 60},
            "partition": {"dirichlet": {"alpha": 0.1}},
            "models": models,
            "federation": {"clients": 2, "rounds": 3},
            "local": {"steps": 2, "batch": 16, "lr": 0.02, "augment": "standard"},
            "evaluate": {"every": 100},
        }
    )
    folder = CellFolder(path / "cell")
    document = cell.model_dump(mode="json", by_alias=True)
    folder.describe({"key": folder.key, "suite": "", "coordinates": {}, "cell": document})
    return folder


@pytest.mark.parametrize("clients", list(MODELS))
def test_a_run_that_stops_in_every_stage_ends_with_the_same_numbers(
    clients: str, real_data: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    directories = real_data("fmnist")
    whole, cut = (_folder(tmp_path / name, MODELS[clients]) for name in ("whole", "cut"))
    assert run_until(whole, directories) is State.DONE
    steps = whole.status().steps or 0
    assert steps == 1 + 1 + 2 + 1 + 2 + 1  # warm-up, upload, generators, fusion, distillation, last round
    states = [run_until(cut, directories, stop_after=1) for _ in range(steps)]
    assert states == [State.INTERRUPTED] * (steps - 1) + [State.DONE]
    assert exact(cut.steps()) == exact(whole.steps())
    assert cut.read_correct() == whole.read_correct()
    [last] = whole.steps()
    assert {"acc/server@test", "acc/distilled@test", "acc/teacher@test"} <= last["metrics"].keys()
