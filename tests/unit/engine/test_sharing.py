"""Steps that cells share are done once, and no number tells whether they were: metrics, costs and records are equal."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from grids import GIGABYTE, SIX, SMALL, SUITE, Grid, Warm

from baselines.fedavg import FedAvg
from mosaic_bench.api import Predictors, Stage, register
from mosaic_bench.engine.prefixes import PrefixStore
from mosaic_bench.engine.sharing import StageError
from mosaic_bench.errors import UserError
from mosaic_bench.store import State


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Six one-shot DENSE variants that differ only in the server's part, each doing everything itself."""
    return Grid(tmp_path_factory.mktemp("six") / "alone", SIX, share=0).run()


def test_six_variants_of_the_server_train_the_clients_once(alone: Grid, tmp_path: Path) -> None:
    shared = Grid(tmp_path / "six", SIX).run()
    assert shared.fates() == {"made": 1, "taken": 5}
    assert len(shared.files()) == 1
    assert shared.numbers() == alone.numbers()
    ends = [cell.steps()[-1] for cell in shared.cells]
    assert len({json.dumps(end["metrics"]) for end in ends}) == 6
    assert len({end["time"]["client_seconds"] for end in ends}) == 1, "the clients' time is charged to every cell"
    assert ends[0]["time"]["client_seconds"] > 0


def test_sharing_is_off_unless_it_is_given_room(alone: Grid) -> None:
    assert alone.fates() == {}
    assert not alone.prefixes.exists()


def test_rounds_of_fedavg_serve_every_method_that_warms_up_with_them(tmp_path: Path) -> None:
    """Warm-ups of two and three rounds, and a stage of its own that two variants share."""
    algorithms = [
        {"name": "warm", "params": {"warmup": 2}},
        "fedavg",
        {"name": "warm", "params": {"warmup": 3}},
        {"name": "warm", "params": {"warmup": 2, "end": 0.1}},
        {"name": "warm", "params": {"warmup": 2, "calm": 0.1}},
        {"name": "dense", "params": SMALL},
    ]
    shared, alone = Grid(tmp_path / "shared", algorithms).run(), Grid(tmp_path / "alone", algorithms, share=0).run()
    assert shared.numbers() == alone.numbers()
    plan = [shared.plan[cell.key].steps if cell.key in shared.plan else () for cell in shared.cells]
    assert plan == [(2, 3), (2, 3), (2, 3), (2, 3), (2,), ()]
    assert [dict(shared.fates(cell)) for cell in shared.cells] == [
        {"made": 2},  # two rounds of FedAvg, and the calm one
        {"taken": 1, "made": 1},  # on to three rounds of FedAvg
        {"taken": 1},
        {"taken": 1},  # the calm round of the first
        {"taken": 1},
        {},
    ]


@pytest.mark.parametrize("order", [1, -1], ids=["taken", "made"])
def test_a_warm_up_may_be_the_whole_of_another_cell(tmp_path: Path, order: int) -> None:
    """FedAvg ends where the warm-up does, at a step that the cadence leaves out."""
    text = SUITE.replace("every: 2", "every: 3") + (
        "overrides: [{when: {algorithm: fedavg}, set: {federation.rounds: 2}}]\n"
    )
    algorithms: list[object] = [{"name": "warm", "params": {"warmup": 2}}, "fedavg"][::order]
    shared = Grid(tmp_path / "shared", algorithms, text=text).run()
    assert shared.numbers() == Grid(tmp_path / "alone", algorithms, share=0, text=text).run().numbers()
    assert shared.fates() == {"made": 1, "taken": 1}
    steps = {
        job.algorithm.name: [r["step"] for r in c.steps()] for job, c in zip(shared.jobs, shared.cells, strict=True)
    }
    assert steps == {"warm": [3, 4], "fedavg": [2]}


def test_stopping_after_every_step_changes_no_number(alone: Grid, tmp_path: Path) -> None:
    shared = Grid(tmp_path / "six", SIX[:2])
    for cell in shared.cells:
        states = []
        while not states or states[-1] is not State.DONE:
            states.append(shared.run_one(cell, should_stop=lambda: True))
        assert states[:-1] == [State.INTERRUPTED] * (len(states) - 1)
    assert shared.fates() == {"made": 1, "taken": 1}
    assert shared.numbers() == alone.numbers()[:2]


def test_a_cell_that_goes_on_from_an_older_checkpoint_leaves_nothing_to_others(alone: Grid, tmp_path: Path) -> None:
    shared = Grid(tmp_path / "six", SIX[:2])
    first, second = shared.cells
    shared.run_one(first, should_stop=lambda: True)
    content = torch.load(first.checkpoint, weights_only=True)
    torch.save(content | {"sources": content["sources"] | {"harness": "older", "text": "older"}}, first.checkpoint)
    shared.run_one(first)
    assert shared.fates() == {}
    shared.run_one(second)
    assert shared.fates() == {"made": 1}
    assert shared.numbers() == alone.numbers()[:2]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_cell_that_dies_while_it_makes_or_after_it_takes_a_prefix_goes_on(
    alone: Grid, tmp_path: Path, at: int
) -> None:
    def die(step: int, steps: int, metrics: object) -> None:
        if step >= at:
            raise Killed

    shared = Grid(tmp_path / "six", SIX[:2])
    for cell in shared.cells:
        with pytest.raises(Killed):
            shared.run_one(cell, progress=die)
    shared.run()
    assert shared.numbers() == alone.numbers()[:2]


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip_a_bit_of_a_weight(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def alter_a_weight(file: Path) -> None:
    """Well-formed, but not what was written."""
    stored = torch.load(file, weights_only=True)
    next(iter(stored["content"]["state"]["teachers"]["state"].values())).add_(1)
    torch.save(stored, file)


def put_another_file(file: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, file)


def put_code(file: Path) -> None:
    torch.save({"content": print, "digest": ""}, file)


@pytest.mark.parametrize(
    "damage", [truncate, empty, flip_a_bit_of_a_weight, alter_a_weight, put_another_file, put_code]
)
def test_a_damaged_prefix_is_made_again(alone: Grid, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    shared = Grid(tmp_path / "six", SIX[:3])
    shared.run_one(shared.cells[0])
    damage(shared.files()[0])
    for cell in shared.cells[1:]:
        shared.run_one(cell)
    assert [dict(shared.fates(cell)) for cell in shared.cells] == [{"made": 1}, {"damaged": 1, "made": 1}, {"taken": 1}]
    assert shared.numbers() == alone.numbers()[:3]


def test_disk_is_bounded_and_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store, state = PrefixStore(tmp_path, limit=100_000), {"w": torch.zeros(10_000)}
    cpu = torch.device("cpu")
    assert store.save("a", state)
    assert store.save("b", state)
    assert store.load("a", cpu) is not None  # used after b
    assert store.save("c", state)
    assert sorted(file.stem for file in tmp_path.glob("*.pt")) == ["a", "c"]
    assert store.load("b", cpu) is None
    assert not store.save("d", {"w": torch.zeros(30_000)})
    assert sorted(file.stem for file in tmp_path.glob("*.pt")) == ["a", "c"], "what can't be kept costs no other"


def test_a_prefix_that_is_deleted_while_it_is_read_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, load = PrefixStore(tmp_path, GIGABYTE), torch.load
    store.save("a", {"w": 1})

    def load_and_delete(file: Path, **options: Any) -> Any:
        loaded = load(file, **options)
        file.unlink()
        return loaded

    monkeypatch.setattr(torch, "load", load_and_delete)
    assert store.load("a", torch.device("cpu")) == {"w": 1}
    assert store.load("a", torch.device("cpu")) is None


def test_a_grid_with_too_little_room_has_the_same_numbers(alone: Grid, tmp_path: Path) -> None:
    shared = Grid(tmp_path / "six", SIX[:2], share=1000).run()
    assert shared.fates() == {"larger": 2}
    assert shared.files() == []
    assert shared.numbers() == alone.numbers()[:2]


def test_leftovers_of_a_killed_maker_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".a.pt.0123").write_bytes(b"half")
    PrefixStore(tmp_path, GIGABYTE).save("a", {})
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_a_claim_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from mosaic_bench.engine.prefixes import PrefixStore\n"
        "with PrefixStore(Path(sys.argv[1]), 0).claim('a', lambda: None): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waited = []

    def waiting() -> None:
        waited.append(1)
        holder.send_signal(signal.SIGKILL)

    with PrefixStore(tmp_path, 0).claim("a", waiting):
        assert waited
    assert holder.wait() == -signal.SIGKILL


def test_a_file_system_without_locks_makes_nobody_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    store = PrefixStore(tmp_path, GIGABYTE)
    with store.claim("a", pytest.fail), store.claim("a", pytest.fail):
        assert store.save("a", {"w": 1})
    assert store.load("a", torch.device("cpu")) == {"w": 1}


def test_one_who_waits_can_be_told_to_stop(tmp_path: Path) -> None:
    shared = Grid(tmp_path / "six", SIX[:2])
    first, second = shared.cells

    def run_the_other(step: int, steps: int, metrics: object) -> None:
        if step == 1:
            assert shared.run_one(second, should_stop=lambda: True) is State.INTERRUPTED
            assert second.steps() == []

    shared.run_one(first, progress=run_the_other)
    assert shared.fates() == {"waiting": 1, "made": 1}


# -- what algorithms promise -------------------------------------------------------------------------------------------


class Faulty(Warm):
    """Warms up as FedAvg does; its subclasses break a promise each."""

    @classmethod
    def stages(cls, params: Warm.Params, rounds: int, cohort: int) -> Sequence[Stage]:
        return FedAvg.stages(FedAvg.Params(), params.warmup, cohort)


def faulty(name: str, **body: Any) -> None:
    register(name, paper="none")(type(name, (Faulty,), {"stages": vars(Faulty)["stages"], **body}))


def setup_other_weights(self: Any) -> None:
    Warm.setup(self)
    for parameters in self.servers["cnn"].parameters():
        parameters.data.mul_(0.5)


def step_with_memory(self: Any, t: int) -> None:
    self.end.append(t)
    Warm.step(self, t)


def more_predictors(self: Any) -> Predictors:
    return {"server": self.servers, "teacher": self.servers}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"setup": setup_other_weights}, "starts it with another self.servers"),
        ({"predictors": more_predictors}, "evaluates another predictor teacher"),
        ({"step": step_with_memory, "first": True}, "changes self.end, which it does not declare in `keeps`"),
    ],
)
def test_a_broken_promise_fails_the_cell_with_a_sentence(tmp_path: Path, body: dict[str, Any], message: str) -> None:
    name = f"faulty {message}"
    first = body.pop("first", False)
    faulty(name, **body)
    grid = Grid(tmp_path / "grid", [name, "fedavg"] if first else ["fedavg", name])
    with pytest.raises(StageError, match=message):
        grid.run()


def test_stages_longer_than_the_method_are_refused(tmp_path: Path) -> None:
    grid = Grid(tmp_path / "grid", [{"name": "warm", "params": {"warmup": 4}}])
    with pytest.raises(StageError, match="declares stages of 5 steps, but makes 4"):
        grid.run()


def test_an_algorithm_that_fails_to_declare_its_stages_is_named(tmp_path: Path) -> None:
    def stages(cls: type, params: Any, rounds: int, cohort: int) -> Sequence[Stage]:
        return [Stage(FedAvg, "rounds", rounds // 0, keeps=("servers",))]

    faulty("undecided", stages=classmethod(stages))
    with pytest.raises(UserError, match="algorithm 'undecided': its stages: ZeroDivisionError"):
        Grid(tmp_path / "grid", ["undecided"])


def test_a_subclass_declares_its_own_stages() -> None:
    class Changed(FedAvg):
        """May have changed the steps."""

    assert len(FedAvg.stages(FedAvg.Params(), 3, 2)) == 1
    assert list(Changed.stages(Changed.Params(), 3, 2)) == []


@pytest.mark.parametrize(
    ("algorithms", "axis", "sharing"),
    [
        (["fedavg", SIX[0]], "seed: [0, 1]", {}),
        (["fedavg", SIX[0]], "local.lr: [0.1, 0.2]", {}),
        (["fedavg", SIX[0]], "federation.rounds: [2, 3]", {"fedavg": 2}),
        ([{"name": "dense", "params": {"local_epochs": 1}}], "federation.rounds: [2, 3]", {"dense": 2}),
        (SIX[:2], "seed: [0, 1]", {"dense": 4}),
        (["fedavg"], "zip: {federation.rounds: [3, 4], local.tail.rounds: [1, 1]}", {}),
    ],
)
def test_cells_share_only_what_nothing_else_sets_apart(
    tmp_path: Path, algorithms: list[object], axis: str, sharing: dict[str, int]
) -> None:
    """Seeds and local settings set cells apart; the number of rounds does where the stage or a tail looks at it."""
    grid = Grid(tmp_path / "grid", algorithms, text=SUITE.replace("grid:", f"grid:\n  {axis}"))
    found = [job.algorithm.name for job, cell in zip(grid.jobs, grid.cells, strict=True) if cell.key in grid.plan]
    assert Counter(found) == sharing
