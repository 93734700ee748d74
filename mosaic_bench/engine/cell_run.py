"""One cell from its description to its last step: the one training loop."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mosaic_bench.api import Algorithm, Predictor
from mosaic_bench.data.device import DeviceImages
from mosaic_bench.engine.bench import Bench
from mosaic_bench.engine.checkpoint import load_checkpoint, pack_checkpoint
from mosaic_bench.engine.evaluate import Score, evaluate, local_accuracy
from mosaic_bench.engine.figures import write_figures
from mosaic_bench.engine.memory import peak_bytes
from mosaic_bench.engine.privacy import SAMPLES, privacy
from mosaic_bench.engine.provenance import numeric_environment, provenance, sources_of
from mosaic_bench.engine.resolve import parse_components
from mosaic_bench.engine.sharing import Sharing
from mosaic_bench.engine.stages import stages_of
from mosaic_bench.engine.state import StateKeeper
from mosaic_bench.engine.trace import Trace
from mosaic_bench.fed.seeds import seeded
from mosaic_bench.store import CellFolder, State, Status, same_sources
from mosaic_bench.suite import Cell


class Diverged(Exception):  # noqa: N818 - named after what it reports
    """A loss, an evaluation or a weight stopped being a finite number."""


@dataclass(frozen=True)
class CellRun:
    """How one cell is run; nothing here changes its result.

    Attributes:
        directories: where data sets are looked for.
        device: where it computes.
        checkpoint_every: steps between checkpoints.
        progress: called with (steps done, steps in all, metrics) after each step; metrics are empty when not evaluated.
        should_stop: asked after each step; True means: save and stop.
        prefixes: bytes that steps which cells share may take on disk; 0 shares nothing.
        own_process: True where this process runs nothing else, so that the memory it has used is the cell's.
    """

    directories: Sequence[Path]
    device: torch.device
    checkpoint_every: int = 10
    progress: Callable[[int, int, dict[str, float]], None] = lambda step, steps, metrics: None
    should_stop: Callable[[], bool] = lambda: False
    prefixes: int = 0
    own_process: bool = False


def run_cell(folder: CellFolder, how: CellRun) -> State:
    """Run a described cell to its end, or to where it is told to stop, resuming from its checkpoint.

    Raises:
        Unsupported: the algorithm can't run in this cell.
        Diverged: a loss, an evaluation or a weight is no longer finite.
        ClaimLost: another process took the cell over.
    """
    description = folder.description()
    cell = Cell.model_validate(description["cell"])
    algorithm_class, params, partition = parse_components(cell)
    folder.write_environment(provenance(how.device, algorithm_class, sys.argv))
    bench = Bench(cell, partition, how.directories, how.device, algorithm_class.reveals)
    folder.describe(description | {"partition": bench.audit()})
    algorithm = algorithm_class(bench.federation, params)
    with seeded(cell.seed, "setup"):
        algorithm.setup()
    return _Loop(folder, how, bench, algorithm).run()


class _Stopped(Exception):  # noqa: N818 - named after what it reports
    """The cell was told to stop, and its state is saved."""


class _Loop:
    """Steps, evaluations and checkpoints of one algorithm in one folder."""

    def __init__(self, folder: CellFolder, how: CellRun, bench: Bench, algorithm: Algorithm) -> None:
        self._folder, self._how, self._bench, self._algorithm = folder, how, bench, algorithm
        self._keeper = StateKeeper(algorithm)
        self._steps, self._done = algorithm.steps, 0
        self._numeric, self._sources = numeric_environment(how.device), sources_of(type(algorithm))
        self._status = Status(State.RUNNING, 0, self._steps)
        self._sharing = Sharing(folder, bench.cell, algorithm, self._keeper, self._numeric, how.device, how.prefixes)
        self._trace = Trace(folder, bench, self._keeper, stages_of(bench.cell, type(algorithm), algorithm.params))

    def run(self) -> State:
        """Run to the end, or to where it is told to stop, from the checkpoint, what others have done, or the start."""
        self._resume()
        self._take_furthest()
        self._set(step=self._done)
        try:
            for step in self._sharing.steps:
                if step > self._done:
                    with self._sharing.claim(step, self._wait):
                        if not self._take(step):
                            self._advance(step)
            self._advance(self._steps)
        except _Stopped:
            return State.INTERRUPTED
        self._set(state=State.DONE, step=self._steps)
        self._folder.drop_checkpoints()
        return State.DONE

    def _advance(self, end: int) -> None:
        """Do the steps from the present one to ``end``."""
        for t in range(self._done, end):
            loss = self._step(t)
            self._done = t + 1
            self._trace.add(self._done, loss)
            last = self._done == self._steps
            due = last or self._done % self._bench.cell.evaluate.every == 0
            if due:  # before judging, which may not bear numbers that aren't finite
                self._check_weights(self._done)
            metrics = self._evaluate(self._done, loss, last) if due else {}
            stop = self._how.should_stop() and not last
            shared = self._done in self._sharing.steps
            save = not stop and not last and self._done % self._how.checkpoint_every == 0
            if not due and (shared or save or stop):
                self._check_weights(self._done)
            if shared:
                self._sharing.make(self._done, loss)
            if save:
                self._save()
            self._how.progress(self._done, self._steps, metrics)
            if stop:
                self._stop()

    def _take_furthest(self) -> None:
        for step in reversed(self._sharing.steps):
            if step <= self._done or self._take(step):
                return

    def _take(self, step: int) -> bool:
        """Go on from the state that another cell left after ``step`` steps; False when there is none."""
        prefix = self._sharing.take(step)
        if prefix is None:
            return False
        self._done = step
        # The last step is evaluated here whatever the cadence, and for which images it got right.
        self._folder.replace_steps([record for record in prefix.records if record["step"] < self._steps])
        self._trace.take(prefix.trace)
        metrics = self._evaluate(step, prefix.loss, last=True) if step == self._steps else {}
        self._how.progress(step, self._steps, metrics)
        return True

    def _wait(self) -> None:
        """Another cell is making what this one needs."""
        if self._how.should_stop():
            self._stop()

    def _stop(self) -> None:
        self._save()
        self._set(state=State.INTERRUPTED, message="told to stop; run the suite again to go on")
        raise _Stopped

    def _step(self, t: int) -> float | None:
        federation = self._bench.federation
        federation.begin(t)
        with seeded(self._bench.cell.seed, "step", t=t), federation.ledger.step_time(self._algorithm.stage_of(t)):
            self._algorithm.step(t)
        loss = federation.mean_loss()
        if loss is not None and not math.isfinite(loss):
            raise Diverged(f"the training loss became {loss} in step {t + 1} of {self._steps}")
        return loss

    def _check_weights(self, step: int) -> None:
        wrong = self._keeper.not_finite()
        if wrong is not None:
            raise Diverged(f"{wrong} is no longer finite after step {step} of {self._steps}")

    def _evaluate(self, step: int, loss: float | None, last: bool) -> dict[str, float]:
        start = time.perf_counter()
        metrics: dict[str, float] = {} if loss is None else {"loss/train": loss}
        correct: dict[str, Tensor] = {}
        for where, (images, indices) in self._bench.judged.items():
            for name, predictor in self._algorithm.predictors().items():
                group = predictor if isinstance(predictor, Mapping) else {"": predictor}
                scores = {
                    f"{name}.{member}" if len(group) > 1 else name: self._score(each, images, indices)
                    for member, each in group.items()
                }
                metrics |= _means(scores, name, where)
                if where == "test":
                    correct |= {member: score.correct for member, score in scores.items()}
                    metrics |= _local_means(scores, name, self._bench.local_tests)
        if last:
            metrics |= self._privacy()
        wrong = next((name for name, value in metrics.items() if not math.isfinite(value)), None)
        if wrong is not None:
            raise Diverged(f"{wrong} became {metrics[wrong]} in step {step} of {self._steps}")
        if last:
            self._keep_correct(correct)
            write_figures(self._folder, self._bench, self._algorithm)
        ledger = self._bench.federation.ledger
        times = ledger.times() | {"evaluate_seconds": time.perf_counter() - start}
        if self._how.own_process:
            times["peak_bytes"] = peak_bytes(self._how.device)
        self._folder.append_step({"step": step, "metrics": metrics, "ledger": ledger.counts(), "time": times})
        return metrics

    @torch.no_grad()
    def _privacy(self) -> dict[str, float]:
        bench = self._bench
        held = bench.judged.get("val", bench.judged["test"])
        return privacy(self._algorithm.samples(SAMPLES), bench.train, bench.clients, held, bench.cell.seed)

    def _score(self, predictor: Predictor, images: DeviceImages, indices: Tensor) -> Score:
        return evaluate(predictor, images, indices, self._bench.federation.autocast)

    def _keep_correct(self, correct: dict[str, Tensor]) -> None:
        rows = np.stack([row.numpy() for row in correct.values()])
        self._folder.write_correct(np.packbits(rows, axis=1).tobytes())
        self._status = replace(self._status, correct=list(correct), images=rows.shape[1])

    def _save(self) -> None:
        content = {
            "step": self._done,
            "state": self._keeper.collect(),
            "ledger": self._bench.federation.ledger.state(),
            "numeric": self._numeric,
            "sources": self._sources,
        }
        self._folder.write_checkpoint(pack_checkpoint(content))
        self._set(step=self._done)

    def _resume(self) -> None:
        """Restore a checkpoint, if one fits."""
        content = self._load()
        if content is not None:
            self._keeper.restore(content["state"])
            self._bench.federation.ledger.restore(content["ledger"])
            self._done = int(content["step"])
            self._keep_sources(content["sources"])
        self._folder.keep_steps_until(self._done)

    def _keep_sources(self, sources: dict[str, Any]) -> None:
        """A cell of which a part came from older sources is as old as they are, and leaves nothing to others."""
        if not same_sources(sources, self._sources):
            self._sources, self._sharing.steps = sources, ()
            self._folder.write_environment(self._folder.environment() | {"sources": sources})

    def _load(self) -> dict[str, Any] | None:
        """The newest whole checkpoint; None if another numeric environment wrote it, or lines before it are lost."""
        content = load_checkpoint(self._folder.checkpoint, self._how.device)
        if content is None and self._folder.previous_checkpoint.exists():
            self._folder.fall_back()
            content = load_checkpoint(self._folder.checkpoint, self._how.device)
        if content is None or content["numeric"] != self._numeric:
            return None
        step, every = content["step"], self._bench.cell.evaluate.every
        evaluated = [record["step"] for record in self._folder.steps() if record["step"] <= step]
        return content if evaluated == list(range(every, step + 1, every)) else None

    def _set(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
        self._folder.set_status(self._status)


def _means(scores: Mapping[str, Score], name: str, where: str) -> dict[str, float]:
    """Metrics of each member of a group, and under the group's own name their means."""
    metrics = {f"acc/{member}@{where}": score.accuracy for member, score in scores.items()}
    metrics |= {f"nll/{member}@{where}": score.nll for member, score in scores.items()}
    metrics[f"acc/{name}@{where}"] = fmean(score.accuracy for score in scores.values())
    metrics[f"nll/{name}@{where}"] = fmean(score.nll for score in scores.values())
    return metrics


def _local_means(scores: Mapping[str, Score], name: str, parts: Sequence[Tensor]) -> dict[str, float]:
    """As ``_means``, for the accuracy on the clients' own test images; nothing where there are none."""
    if not parts:
        return {}
    accuracies = {member: local_accuracy(score.correct, parts) for member, score in scores.items()}
    metrics = {f"acc/{member}@local": accuracy for member, accuracy in accuracies.items()}
    return metrics | {f"acc/{name}@local": fmean(accuracies.values())}
