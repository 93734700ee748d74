"""Places on devices: shared, or one whole for a cell that ran out of memory."""

import threading
import time
from contextlib import ExitStack

import pytest
import torch

from mosaic_bench.engine.slots import Slots, choose_devices, cores
from mosaic_bench.errors import UserError

GPUS = ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("devices", "options", "count"),
    [
        (["cpu"], {}, cores()),
        (["cpu"], {"threads": cores()}, 1),
        (["cpu"], {"threads": 10**6}, 1),
        (["cpu"], {"workers": 7}, 7),
        (["cpu"], {"per_device": 3}, 3),
        (["cpu"], {"workers": 2, "per_device": 3}, 2),
        (GPUS, {}, 2),
        (GPUS, {"per_device": 3}, 6),
        (GPUS, {"workers": 3}, 3),
        (GPUS, {"workers": 8, "per_device": 3}, 6),
    ],
)
def test_how_many_cells_run_at_a_time(devices: list[str], options: dict[str, int], count: int) -> None:
    assert Slots(devices, **options).count == count


def test_cells_spread_over_the_devices_before_they_share_one() -> None:
    slots = Slots(GPUS, per_device=2)
    with ExitStack() as held:
        chosen = [held.enter_context(slots.share()) for _ in range(4)]
    assert sorted(chosen[:2]) == sorted(chosen[2:]) == GPUS


def test_a_whole_device_waits_for_its_cells_and_keeps_new_ones_away() -> None:
    slots = Slots(["cpu"], workers=2)
    events: list[str] = []

    def alone() -> None:
        with slots.whole():
            events.append("alone")
            time.sleep(0.1)
            events.append("alone no more")

    def another() -> None:
        with slots.share():
            events.append("another")

    with slots.share():
        threads = [threading.Thread(target=alone), threading.Thread(target=another)]
        threads[0].start()
        while not slots._reserved:
            time.sleep(0.01)
        threads[1].start()
        time.sleep(0.05)
        events.append("the first ends")
    for thread in threads:
        thread.join()
    assert events == ["the first ends", "alone", "alone no more", "another"]


def test_the_other_devices_go_on_meanwhile() -> None:
    slots = Slots(GPUS, per_device=2)
    with slots.whole() as whole, slots.share() as first, slots.share() as second:
        assert {whole, first} == set(GPUS)
        assert second == first
    with slots.whole() as first, slots.whole() as second:
        assert {first, second} == set(GPUS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU says")
def test_devices_that_are_not_there_are_refused() -> None:
    assert choose_devices("auto") == ["cpu"]
    assert choose_devices("cpu,cpu") == ["cpu"]
    with pytest.raises(UserError, match="--devices cuda:0: this machine has 0 CUDA devices"):
        choose_devices("cuda:0")
    for nonsense in ("gpu", "cpu,", "meta"):
        with pytest.raises(UserError, match=f"--devices {nonsense}: expected auto, cpu, or GPUs"):
            choose_devices(nonsense)


def test_a_cpu_beside_gpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_devices("auto") == GPUS
    assert choose_devices("cuda:1, cuda:0") == ["cuda:1", "cuda:0"]
    with pytest.raises(UserError, match="on a CPU or on GPUs, not on both"):
        choose_devices("cpu,cuda:0")
    with pytest.raises(UserError, match="this machine has 2 CUDA devices"):
        choose_devices("cuda:2")
