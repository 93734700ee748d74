"""Which cells of a grid share which of their first steps, from what their algorithms declare."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from mosaic_bench.api import Algorithm, Hyperparameters, Stage
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.resolve import Job, fingerprint
from mosaic_bench.errors import UserError
from mosaic_bench.store.atomic import replace_json
from mosaic_bench.suite import Cell

_PLAN = "plan.json"


@dataclass(frozen=True)
class Shared:
    """What one cell shares with others of its grid.

    Attributes:
        setting: hash of what its first steps depend on beside their stages.
        steps: numbers of steps after which another cell is in the same state, ascending.
        states: names of those states, equal in all cells of the setting that come by them.
    """

    setting: str
    steps: tuple[int, ...]
    states: tuple[str, ...] = ()


def stages_of(cell: Cell, algorithm: type[Algorithm], params: Hyperparameters) -> list[Stage]:
    """Return the stages in which a cell begins, without empty ones.

    Raises:
        UserError: the algorithm fails to say.
    """
    try:
        declared = algorithm.stages(params, cell.federation.rounds, cell.federation.cohort)
        return [stage for stage in declared if stage.steps]
    except Exception as error:
        raise UserError(f"algorithm '{algorithm.name}': its stages: {type(error).__name__}: {error}") from error


def ends(stages: Iterable[Stage]) -> list[int]:
    """Return the numbers of steps after which each stage is over."""
    return list(accumulate(stage.steps for stage in stages))


def stages_until(stages: Sequence[Stage], step: int) -> list[Stage]:
    """Return the stages of the first ``step`` steps, the last one cut to what lies within them."""
    starts = [end - stage.steps for stage, end in zip(stages, ends(stages), strict=True)]
    return [
        replace(stage, steps=min(stage.steps, step - start))
        for stage, start in zip(stages, starts, strict=True)
        if start < step
    ]


def describe_stages(stages: Iterable[Stage]) -> list[Any]:
    """Return what the stages are, as plain values; equal for stages that come out the same."""
    return [[s.owner.name, s.owner.version, s.name, s.steps, sorted(s.keeps), dict(s.params)] for s in stages]


def plan_sharing(jobs: Iterable[Job], datasets: Datasets) -> dict[str, Shared]:
    """Find what the cells share: cell key -> its part. Cells that share nothing are left out.

    A state is worth keeping where a stage of one cell ends and another cell passes through.
    """
    alike: dict[str, dict[str, list[Stage]]] = defaultdict(dict)  # setting -> cell key -> stages
    for job in jobs:
        stages = [] if job.missing else stages_of(job.cell, job.algorithm, job.params)
        if stages:
            alike[_setting(job, datasets)][job.key(datasets)] = stages
    return {
        key: Shared(setting, tuple(states), tuple(states.values()))
        for setting, cells in alike.items()
        for key, states in _shared_states(cells).items()
        if states
    }


def write_plan(prefixes: Path, plan: Mapping[str, Shared]) -> None:
    """Write what the cells of a suite share, beside the prefixes, for the processes that run them."""
    if plan or prefixes.exists():
        prefixes.mkdir(exist_ok=True)
        replace_json(prefixes / _PLAN, {key: asdict(shared) for key, shared in plan.items()})


def read_plan(prefixes: Path, key: str) -> Shared:
    """Read what one cell shares: nothing where the plan does not list it or can't be read."""
    try:
        entry = json.loads((prefixes / _PLAN).read_text(encoding="utf-8"))[key]
        return Shared(entry["setting"], tuple(entry["steps"]), tuple(entry["states"]))
    except (FileNotFoundError, ValueError, KeyError):
        return Shared("", ())


def _setting(job: Job, datasets: Datasets) -> str:
    setting = job.setting(datasets)
    if job.cell.local.tail is None:  # a tail's rate begins a number of rounds before the last one
        del setting["cell"]["federation"]["rounds"]  # stages that depend on them say so in their params
    return fingerprint(setting)


def _shared_states(cells: Mapping[str, Sequence[Stage]]) -> dict[str, dict[int, str]]:
    """Of cells in one setting: cell key -> steps after which it shares its state with another, at a stage's end."""
    candidates = sorted({end for stages in cells.values() for end in ends(stages)})
    passed: dict[str, dict[int, str]] = {}  # cell key -> steps -> state
    passing: dict[str, int] = defaultdict(int)  # state -> cells that pass through it
    ending: set[str] = set()
    for key, stages in cells.items():
        own = ends(stages)
        passed[key] = {step: _state(stages, step) for step in candidates if step <= own[-1]}
        for step, state in passed[key].items():
            passing[state] += 1
            ending |= {state} if step in own else set()
    worth = {state for state in ending if passing[state] > 1}
    return {key: {step: state for step, state in states.items() if state in worth} for key, states in passed.items()}


def _state(stages: Sequence[Stage], step: int) -> str:
    return fingerprint(describe_stages(stages_until(stages, step)))
