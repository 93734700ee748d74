"""Cells over a Dask cluster: joblib sends them to workers on any machines that see the results folder."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib

from mosaic_bench.engine.attempt import Attempt
from mosaic_bench.engine.child import ChildTask
from mosaic_bench.engine.dispatch import Dispatcher
from mosaic_bench.engine.slots import choose_devices
from mosaic_bench.errors import UserError
from mosaic_bench.store import CellFolder, DiskFull, State


@dataclass
class ClusterDispatcher(Dispatcher):
    """Runs cells on the workers of a Dask scheduler. Each worker runs a cell in a child process, as a local run does.

    Attributes:
        devices: what each worker runs cells on, by its own numbering: auto, cpu or cuda:N.
        scheduler: its address; None starts one here for this run.
        workers: processes of a scheduler that is started here.
    """

    devices: str = field(kw_only=True)
    scheduler: str | None = field(kw_only=True)
    workers: int = field(kw_only=True)
    _client: Any = field(default=None, init=False)
    _stop_file: Path = field(default=Path(), init=False)

    def dispatch(self, folders: Sequence[CellFolder]) -> dict[str, State]:
        """As in ``Dispatcher``, over the cluster."""
        if not folders:
            return {}
        self._stop_file = folders[0].path.parents[1].resolve() / f".stop.{uuid.uuid4().hex}"
        with _connected(self.scheduler, self.workers) as self._client:
            ended = super().dispatch(folders)
        self._stop_file.unlink(missing_ok=True)  # stays after a second signal or a full disk, for workers that live on
        return ended

    def _pass(self, folders: Sequence[CellFolder]) -> Iterable[tuple[str, State]]:
        seen = {folder: self._seen_to(folder) for folder in folders}
        for folder, state in seen.items():
            if state is not None:
                yield self._ended(folder.key, state)
        ours = [folder for folder, state in seen.items() if state is None]
        tasks = [joblib.delayed(serve)(self._remote(folder)) for folder in ours]
        self._wait_for_workers()
        with self._following(ours) as reported, joblib.parallel_config("dask", client=self._client):
            try:
                states = joblib.Parallel(batch_size=1, pre_dispatch="all")(tasks)
            except DiskFull as full:
                self._fill(full)
                states = [State.RUNNING] * len(ours)
        for folder, state in zip(ours, states, strict=True):
            yield (folder.key, state) if folder.key in reported else self._ended(folder.key, state)

    def _ended(self, key: str, state: State) -> tuple[str, State]:
        if state is not State.RUNNING:
            self.listener.finished(key, state)
        return key, state

    def _remote(self, folder: CellFolder) -> ChildTask:
        """The cell as a worker in another folder finds it."""
        task = self._task(folder, self.devices)
        return replace(
            task,
            cell=task.cell.resolve(),
            directories=[directory.resolve() for directory in task.directories],
            plugins=[plugin.resolve() for plugin in task.plugins],
            stop_file=self._stop_file,
        )

    def _wait_for_workers(self) -> None:
        while not self._stop.is_set() and not self._client.nthreads():
            time.sleep(0.2)

    @contextmanager
    def _following(self, folders: Sequence[CellFolder]) -> Iterator[set[str]]:
        """Tell the listener meanwhile what the folders tell; yields the keys of cells that were seen to finish."""
        ended, started, reported = threading.Event(), set[str](), set[str]()

        def follow() -> None:
            while not ended.wait(1):
                for folder in folders:
                    state, key = folder.status(), folder.key
                    if state.state is State.RUNNING and state.steps:
                        if key not in started:
                            self.listener.started(key)
                        started.add(key)
                        self.listener.stepped(key, state.step, state.steps, {})
                    elif state.state.finished and key not in reported:
                        self.listener.finished(key, state.state)
                        reported.add(key)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield reported
        finally:
            ended.set()
            thread.join()

    def _ask_to_stop(self) -> None:
        with suppress(OSError):  # a full disk may not even take this
            self._stop_file.touch()

    def _kill(self) -> None:
        raise KeyboardInterrupt  # leaves; workers that live on finish their steps


def serve(task: ChildTask) -> State:
    """Run one cell on a worker, in a child of the worker's process.

    Raises:
        DiskFull: results can't be written.
    """
    if task.stop_file is not None and task.stop_file.exists():
        return State.RUNNING
    multiprocessing.current_process().daemon = False  # a worker's nanny makes it one, which may have no children
    task = replace(task, device=choose_devices(task.device)[0])
    state = State.OOM
    for _ in range(1 + task.run.retries):
        if state is State.OOM:
            state = Attempt(task, lambda step, steps, metrics: None).run()
    return state


@contextmanager
def _connected(scheduler: str | None, workers: int) -> Iterator[Any]:
    """Yield a client of the scheduler, or of one that lives as long.

    Raises:
        UserError: Dask is not installed, or nothing answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UserError("--backend dask needs Dask: pip install 'mosaic-bench[dask]'") from error
    if scheduler is None:
        with _interrupts_ignored():
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        with cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from error
    with client:
        yield client


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started here ignore Ctrl-C, which reaches the whole terminal group: their parent handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
