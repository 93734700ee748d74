"""Suite -> jobs: every name is looked up, every parameter checked, every cell keyed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError

from mosaic_bench.api import Algorithm, Hyperparameters
from mosaic_bench.data import Dataset, Partition, check_present, known_datasets, open_dataset, parse_partition
from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm
from mosaic_bench.errors import UserError
from mosaic_bench.models import ARCHITECTURES
from mosaic_bench.suite import Cell, PlannedCell, Suite, SuiteError
from mosaic_bench.suite.errors import did_you_mean, explain

SCHEMA = 1
"""Version of what a key is made of; raised when the meaning of a setting changes."""

MINIMUM_PER_CLIENT = 2  # images; BatchNorm cannot train on one


@dataclass(frozen=True)
class Job:
    """A cell with everything it names looked up.

    Attributes:
        missing: why its data cannot be used, in one sentence; None when it is there.
        wanted: False when ``--only`` leaves the cell out.
    """

    cell: Cell
    coordinates: dict[str, str]
    algorithm: type[Algorithm]
    params: Hyperparameters
    partition: Partition
    missing: str | None
    wanted: bool

    @property
    def title(self) -> str:
        """The cell's coordinates on one line."""
        return " · ".join(self.coordinates.values())

    def key(self, directories: Sequence[FilePath]) -> str:
        """Hash everything that defines the cell's result into 12 hex digits; opens the data set for its digest."""
        public = self.cell.federation.public
        identity = {
            "schema": SCHEMA,
            "cell": self.cell.model_dump(exclude_defaults=True, exclude={"algorithm", "partition"}, by_alias=True),
            "algorithm": [self.algorithm.name, self.algorithm.version, _given(self.params)],
            "partition": [next(iter(self.cell.partition)), _given(self.partition)],
            "data": open_dataset(self.cell.dataset.name, directories).digest,
        }
        if public is not None and public.source != "train":
            identity["public data"] = open_dataset(public.source, directories).digest
        text = json.dumps(identity, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def resolve(suite: Suite, directories: Sequence[FilePath]) -> list[Job]:
    """Look up what every cell of the suite names.

    Raises:
        SuiteError: with one line per fault, each naming file and line.
    """
    jobs: list[Job] = []
    faults: dict[str, None] = {}
    missing: dict[str, str | None] = {}
    for planned in suite.cells:
        try:
            jobs.append(_job(planned, directories, missing))
        except UserError as error:
            faults.update(dict.fromkeys(str(error).splitlines()))
    if faults:
        raise SuiteError("\n".join(faults))
    return jobs


def open_cell_data(cell: Cell, directories: Sequence[FilePath]) -> Dataset:
    """Open the images of a cell, cut to the number it asks for."""
    dataset = open_dataset(cell.dataset.name, directories)
    return dataset.subset(cell.dataset.train, cell.dataset.test)


def parse_components(cell: Cell) -> tuple[type[Algorithm], Hyperparameters, Partition]:
    """Look up a cell that was resolved before: in a child process, or for a rerun."""
    algorithm = find_algorithm(cell.algorithm.name)
    return algorithm, algorithm.Params.model_validate(cell.algorithm.params), parse_partition(cell.partition)


def _job(planned: PlannedCell, directories: Sequence[FilePath], missing: dict[str, str | None]) -> Job:
    cell = planned.cell
    try:
        algorithm = find_algorithm(cell.algorithm.name)
    except KeyError:
        name = cell.algorithm.name
        where = planned.where(("algorithm", "name"))
        raise SuiteError(f"{where}: unknown algorithm '{name}'{did_you_mean(name, algorithm_names())}") from None
    params = _parse(planned, ("algorithm", "params"), algorithm.Params, cell.algorithm.params)
    partition = _partition(planned)
    for arch in cell.models.architectures:
        if arch not in ARCHITECTURES:
            where = planned.where(("models", "arch"))
            raise SuiteError(f"{where}: unknown architecture '{arch}'{did_you_mean(arch, ARCHITECTURES)}")
    for name in [cell.dataset.name, *_public_dataset(cell)]:
        if name not in missing:
            missing[name] = check_present(name, directories)
        if missing[name] is not None and name not in known_datasets():
            where = planned.where(("dataset", "name"))
            raise SuiteError(f"{where}: {missing[name]}{did_you_mean(name, known_datasets())}")
    absent = next((missing[n] for n in [cell.dataset.name, *_public_dataset(cell)] if missing[n]), None)
    if absent is None:
        _check_size(planned, directories)
    return Job(cell, planned.coordinates, algorithm, params, partition, absent, planned.wanted)


def _partition(planned: PlannedCell) -> Partition:
    (name, _), *_ = planned.cell.partition.items()
    try:
        return parse_partition(planned.cell.partition)
    except ValidationError as error:
        raise SuiteError(
            "\n".join(explain(error, Partition, lambda path: planned.where(("partition", name, *path))))
        ) from error
    except UserError as error:
        raise SuiteError(f"{planned.where(('partition', name))}: {error}") from error


def _parse(planned: PlannedCell, path: tuple[str, ...], model: type[Hyperparameters], given: Any) -> Hyperparameters:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise SuiteError("\n".join(explain(error, model, lambda inner: planned.where((*path, *inner))))) from error


def _public_dataset(cell: Cell) -> list[str]:
    public = cell.federation.public
    return [public.source] if public is not None and public.source != "train" else []


def _check_size(planned: PlannedCell, directories: Sequence[FilePath]) -> None:
    """Refuse more clients than the training images can serve."""
    cell = planned.cell
    dataset = open_dataset(cell.dataset.name, directories)
    images = cell.dataset.train or len(dataset.train.labels)
    if images > len(dataset.train.labels):
        raise SuiteError(
            f"{planned.where(('dataset', 'train'))}: dataset.train is {images}, "
            f"but {cell.dataset.name} has {len(dataset.train.labels)} training images"
        )
    held = sum((cell.federation.validation, _public_fraction(cell)))
    left = int(images * (1 - held))
    if left < MINIMUM_PER_CLIENT * cell.federation.clients:
        raise SuiteError(
            f"{planned.where(('federation', 'clients'))}: federation.clients is {cell.federation.clients}, but only "
            f"{left} images are left for clients; each needs at least {MINIMUM_PER_CLIENT}"
        )


def _public_fraction(cell: Cell) -> float:
    public = cell.federation.public
    return public.fraction if public is not None and public.source == "train" else 0.0


def _given(model: BaseModel) -> dict[str, Any]:
    """Parameters off their defaults: one that is added later leaves old keys as they were."""
    return model.model_dump(mode="json", exclude_defaults=True)
