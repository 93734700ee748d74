"""A cell has one writer at a time, whoever is suspended, killed or on another machine."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mosaic_bench.store import CellFolder, Claim, ClaimLost, Pulse, State, Status, Watch
from mosaic_bench.store.claim import HEARTBEAT

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    path = tmp_path / "0123456789ab"
    CellFolder(path).describe({"key": path.name})
    return path


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(cell: Path, expired: set[str] | None = None) -> Claim:
    claim = Claim.take(cell, expired or ())
    assert claim is not None
    return claim


def elsewhere(cell: Path) -> str:
    """Let a process of another machine hold the cell; return its name."""
    claim = taken(cell)
    pulse = Claim.pulse(cell)
    assert pulse is not None
    owner = f"faraway-12345678-4242-{pulse.owner.rpartition('-')[2]}"
    claim._folder.rename(claim._folder.with_name(owner))
    return owner


def listing(cell: Path) -> list[str]:
    return sorted(str(path.relative_to(cell)) for path in cell.rglob("*"))


def test_a_cell_is_claimed_once_and_free_again_after_its_release(cell: Path) -> None:
    first = taken(cell)
    assert Claim.take(cell) is None
    first.release()
    assert listing(cell) == ["cell.json"]
    taken(cell).release()


def compete(cell: Path, start: Connection, result: Connection) -> None:
    start.recv()
    result.send(Claim.take(cell) is not None)
    result.recv()


@pytest.mark.parametrize("abandoned", [False, True], ids=["free", "abandoned"])
def test_of_many_that_reach_for_a_cell_one_gets_it(cell: Path, abandoned: bool) -> None:
    for _ in range(4):
        if abandoned:
            owner = FORK.Process(target=Claim.take, args=(cell,))
            owner.start()
            owner.join()
        pipes = [(FORK.Pipe(), FORK.Pipe()) for _ in range(6)]
        contenders = [FORK.Process(target=compete, args=(cell, a[1], b[1])) for a, b in pipes]
        for contender in contenders:
            contender.start()
        for (start, _), _ in pipes:
            start.send(None)
        assert sorted(result.recv() for _, (result, _) in pipes) == [False] * 5 + [True]
        assert len(os.listdir(cell / "claim")) == 1
        for _, (result, _) in pipes:
            result.send(None)
        for contender in contenders:
            contender.join()
        taken(cell).release()
        assert listing(cell) == ["cell.json"]


def test_what_a_dead_owner_was_writing_is_swept_away(cell: Path) -> None:
    def die_while_writing() -> None:
        claim = taken(cell)
        claim.replace(cell / "checkpoint", lambda file: (file.write_bytes(b"half"), os._exit(9)))

    owner = FORK.Process(target=die_while_writing)
    owner.start()
    owner.join()
    assert len(listing(cell)) == 5
    taken(cell).release()
    assert listing(cell) == ["cell.json"]


def test_what_is_left_of_an_owner_that_died_after_the_last_step_is_swept_away_and_nothing_of_a_living_one(
    cell: Path,
) -> None:
    def die_before_letting_go() -> None:
        taken(cell).replace(cell / "checkpoint", lambda file: (file.write_bytes(b"whole"), None)[1])
        os._exit(9)

    owner = FORK.Process(target=die_before_letting_go)
    owner.start()
    owner.join()
    assert "checkpoint" in listing(cell)
    CellFolder(cell).sweep()
    assert listing(cell) == ["cell.json"]
    held = taken(cell)
    before = listing(cell)
    CellFolder(cell).sweep()
    assert listing(cell) == before
    held.verify()


def test_a_dead_owner_that_nobody_waited_for_is_dead(cell: Path) -> None:
    child = os.fork()
    if child == 0:
        Claim.take(cell)
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        taken(cell).release()
    finally:
        os.waitpid(child, 0)


def test_an_owner_that_lost_its_claim_writes_nothing(cell: Path) -> None:
    lost = taken(cell)
    old = CellFolder(cell, lost)
    old.set_status(Status(State.RUNNING, 1, 9))
    old.append_step({"step": 1})
    old.write_checkpoint(b"one")
    pulse = Claim.pulse(cell)
    assert pulse is not None
    new = CellFolder(cell, taken(cell, {pulse.owner}))
    new.set_status(Status(State.RUNNING, 5, 9))
    new.keep_steps_until(1)
    before = {path: path.read_bytes() for path in cell.rglob("*") if path.is_file()}
    for write in (
        lambda: old.set_status(Status(State.DONE, 9, 9)),
        lambda: old.append_step({"step": 2}),
        lambda: old.write_checkpoint(b"two"),
        lambda: old.keep_steps_until(0),
        lambda: old.write_correct(b"c"),
        lambda: old.describe({}),
        lambda: old.write_environment({}),
        old.fall_back,
        old.drop_checkpoints,
        old.forget,
    ):
        with pytest.raises(ClaimLost):
            write()
    with lost.kept_alive(lambda: 0):
        time.sleep(0.05)
    assert {path: path.read_bytes() for path in cell.rglob("*") if path.is_file()} == before


def test_a_claim_lost_between_writing_a_file_and_putting_it_in_place_puts_nothing(cell: Path) -> None:
    """The longest sleep can't be at a worse moment."""
    lost, folder = taken(cell), CellFolder(cell)
    folder.append_step({"step": 9})
    folder.set_status(Status(State.DONE, 9, 9))
    pulse = Claim.pulse(cell)
    assert pulse is not None

    def sleep_while_another_takes_over(file: Path) -> None:
        with file.open("wb") as open_file:
            taken(cell, {pulse.owner})
            open_file.write(b"late")

    with pytest.raises(ClaimLost):
        lost.replace(cell / "status.json", sleep_while_another_takes_over)
    assert folder.status() == Status(State.DONE, 9, 9)


OWNER = """
import sys
from pathlib import Path
from mosaic_bench.store import CellFolder, Claim, ClaimLost

cell = Path(sys.argv[1])
claim = Claim.take(cell)
folder = CellFolder(cell, claim)
step = 0
print("ready", flush=True)
try:
    with claim.kept_alive(lambda: 0):
        while True:
            step += 1
            folder.append_step({"step": step, "by": "first"})
except ClaimLost:
    print("lost", flush=True)
"""


def test_a_suspended_owner_wakes_up_without_its_claim_and_stops(cell: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(cell)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    time.sleep(0.1)
    owner.send_signal(signal.SIGSTOP)
    ticks = iter(range(10**6))
    watch = Watch(5, clock=lambda: next(ticks))  # a second passes from look to look
    deadline = time.monotonic() + 60
    while watch.holder(cell) is not None:
        assert time.monotonic() < deadline
    new = CellFolder(cell, taken(cell, watch.expired))
    new.keep_steps_until(3)
    new.append_step({"step": 4, "by": "second"})
    owner.send_signal(signal.SIGCONT)
    assert owner.wait(timeout=60) == 0
    assert owner.stdout.readline() == "lost\n"
    assert [(record["step"], record["by"]) for record in new.steps()] == [
        (1, "first"),
        (2, "first"),
        (3, "first"),
        (4, "second"),
    ]


def test_a_claim_of_another_machine_expires_after_a_time_without_a_beat(cell: Path) -> None:
    owner, clock = elsewhere(cell), Clock()
    watch = Watch(10, clock)
    for clock.now in (0, 2, 4, 6, 8, 9.9):
        holder = watch.holder(cell)
        assert holder is not None
        assert holder.where == "faraway, process 4242"
    assert Claim.take(cell, watch.expired) is None
    clock.now = 10
    assert watch.holder(cell) is None
    assert watch.expired == {owner}
    taken(cell, watch.expired)


def test_every_beat_starts_the_wait_again(cell: Path) -> None:
    owner, clock = elsewhere(cell), Clock()
    watch = Watch(10, clock)
    for clock.now in range(0, 100, 3):
        (cell / "claim" / owner / "beat").write_text(f"{clock.now // 9} 0")
        assert watch.holder(cell) is not None


def test_time_in_which_nobody_looked_does_not_count(cell: Path) -> None:
    """Who was suspended beside the owner would else wake up first and take its cell."""
    elsewhere(cell)
    clock = Clock()
    watch = Watch(10, clock)
    assert watch.holder(cell)
    clock.now = 1e6
    assert watch.holder(cell)
    clock.now += 2
    assert watch.holder(cell)


def test_neither_clock_jumps_nor_file_times_make_an_owner_look_dead(cell: Path) -> None:
    owner = elsewhere(cell)
    watch = Watch(30)
    for when in (0, 2**33):
        os.utime(cell / "claim" / owner / "beat", (when, when))
        os.utime(cell / "claim", (when, when))
        assert watch.holder(cell) is not None
        assert Claim.take(cell, watch.expired) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"7", b"x y"])
def test_a_damaged_beat_counts_as_one_that_stands_still(cell: Path, content: bytes) -> None:
    owner = elsewhere(cell)
    (cell / "claim" / owner / "beat").write_bytes(content)
    clock = Clock()
    watch = Watch(5, clock)
    assert watch.holder(cell)
    clock.now = 3
    assert watch.holder(cell)
    clock.now = 6
    assert watch.holder(cell) is None
    taken(cell, watch.expired)


def test_an_empty_claim_is_free(cell: Path) -> None:
    (cell / "claim").mkdir()
    taken(cell)


def test_the_heartbeat_tells_the_peak_of_memory(cell: Path) -> None:
    claim = taken(cell)
    peaks = iter([100, 2**40])
    with claim.kept_alive(lambda: next(peaks)):
        deadline = time.monotonic() + 20 * HEARTBEAT
        while (pulse := Claim.pulse(cell)) is None or pulse.beats < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert pulse.peak_bytes == 2**40
    assert Claim.pulse(cell) is None


def test_a_running_cell_that_nobody_holds_was_interrupted(cell: Path) -> None:
    claim = taken(cell)
    CellFolder(cell, claim).set_status(Status(State.RUNNING, 3, 9))
    assert CellFolder(cell).status() == Status(State.RUNNING, 3, 9)
    claim.release()
    status = CellFolder(cell).status()
    assert (status.state, status.step) == (State.INTERRUPTED, 3)
    assert "killed" in status.message
    assert json.loads((cell / "status.json").read_text())["state"] == "running"


def test_of_other_machines_and_containers_of_the_same_name_nothing_is_known_and_a_reboot_ends_all(cell: Path) -> None:
    claim = taken(cell)
    host, process, token = claim._folder.name.rsplit("-", 2)
    assert process == str(os.getpid())
    machine, boot = host.split("-")[-1].split(".")
    name, gone = host.removesuffix(f"-{machine}.{boot}"), 2**22 + 1  # above the largest process number of Linux
    for identity, number, dead in [
        (f"{machine}.{boot}", gone, True),
        (f"{machine}.{boot}", os.getpid(), False),
        (f"{machine}.00000000", gone, True),
        (f"{machine}.00000000", os.getpid(), True),
        (f"00000000.{boot}", gone, False),
        ("00000000", gone, False),
    ]:
        pulse = Pulse(f"{name}-{identity}-{number}-{token}", 0, 0)
        assert pulse.dead is dead
        assert pulse.where == f"{name}, process {number}"
    claim._folder.rename(claim._folder.with_name(f"{name}-{machine}.00000000-{process}-{token}"))
    taken(cell).release()
