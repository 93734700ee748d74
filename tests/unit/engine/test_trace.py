from pathlib import Path

import pytest
import torch
from grids import SIX, Grid
from support import cell as make_cell

from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.resolve import parse_components
from mosaic_bench.store import CellFolder, State

MOSAIC = {
    "expert_steps": 3, "generator_steps": 2, "generator_base": 4, "discriminator_base": 4, "latent": 8,
    "meta_epochs": 1, "kd_steps": 2, "kd_pool": 32, "kd_epochs": 2, "warmup_rounds": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    algorithms = ["fedavg", SIX[0], {"name": "mosaic", "params": MOSAIC}]
    return Grid(tmp_path_factory.mktemp("trace") / "own", algorithms, share=0).run()


def steps(folder: CellFolder) -> list[int]:
    return [record["step"] for record in folder.trace()["steps"]]


def test_the_first_three_steps_and_three_after_each_stage_are_traced(grid: Grid) -> None:
    # FedAvg is one stage of four rounds; DENSE trains two clients, then distils twice; Mosaic's stages take one round
    # of FedAvg, an upload and two generators, and what follows are the teacher and two epochs of distillation.
    assert [steps(folder) for folder in grid.cells] == [[1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7]]


def test_norms_are_those_of_every_tensor_of_the_models(grid: Grid) -> None:
    fedavg, document = grid.cells[0], grid.jobs[0].cell
    algorithm, params, partition = parse_components(document)
    bench = Bench(document, partition, [], torch.device("cpu"), algorithm.reveals)
    method = algorithm(bench.federation, params)
    method.setup()
    bench.federation.begin(0)
    method.step(0)
    state = method.servers["cnn"].state_dict()
    expected = {f"servers.cnn.{name}": tensor.double().norm().item() for name, tensor in state.items()}
    first = fedavg.trace()["steps"][0]
    assert any("running_var" in name for name in expected)
    assert first["norms"] == expected
    assert first["loss"] == bench.federation.mean_loss()


def test_a_shared_prefix_leaves_the_same_trace(grid: Grid, tmp_path: Path) -> None:
    shared = Grid(tmp_path / "shared", ["fedavg", SIX[0], {"name": "mosaic", "params": MOSAIC}]).run()
    assert shared.fates()["taken"] == 1
    assert [folder.trace() for folder in shared.cells] == [folder.trace() for folder in grid.cells]


def test_an_interrupted_cell_leaves_the_same_trace(grid: Grid, tmp_path: Path) -> None:
    cut = Grid(tmp_path / "cut", [{"name": "mosaic", "params": MOSAIC}], share=0)
    while cut.run_one(cut.cells[0], should_stop=lambda: True) is not State.DONE:
        pass
    assert cut.cells[0].trace() == grid.cells[2].trace()


def test_a_cell_that_starts_anew_keeps_nothing_of_its_old_trace(tmp_path: Path) -> None:
    own = Grid(tmp_path / "own", ["fedavg"], share=0).run().cells[0]
    own.forget()
    assert own.trace() == {"partition": "", "steps": []}


def test_the_digest_of_a_partition_tells_who_holds_which_image() -> None:
    def partition_digest(**changes: object) -> str:
        document = make_cell(dataset="digits", **changes)
        algorithm, _, partition = parse_components(document)
        return Bench(document, partition, [], torch.device("cpu"), algorithm.reveals).partition_digest()

    same, other_seed = partition_digest(), partition_digest(seed=1)
    assert partition_digest(algorithm="local", local__steps=7) == same
    assert len({same, other_seed, partition_digest(federation__clients=4)}) == 3
