"""Suite -> jobs: every name is looked up, every parameter checked, every cell keyed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError

from mosaic_bench.api import Algorithm, Hyperparameters
from mosaic_bench.data import PARTITIONS, DataError, Dataset, Partition, open_dataset, parse_partition
from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.fit import misfit
from mosaic_bench.errors import UserError, did_you_mean
from mosaic_bench.fed.assignment import client_widths
from mosaic_bench.models import find_architecture
from mosaic_bench.suite import Cell, PlannedCell, Suite, SuiteError
from mosaic_bench.suite.errors import Path, explain

SCHEMA = 1
"""Version of what a key is made of; raised when the meaning of a setting changes."""

MINIMUM_PER_CLIENT = 2  # images; BatchNorm cannot train on one
_CHANCE = 0.01  # share of public images that may happen to be equal to training images


@dataclass(frozen=True)
class Job:
    """A cell with everything it names looked up.

    Attributes:
        missing: why its data cannot be used, in one sentence; None when it is there.
        wanted: False when ``--only`` leaves the cell out.
        doubts: what is legal but may not be meant, one sentence each.
    """

    cell: Cell
    coordinates: dict[str, str]
    algorithm: type[Algorithm]
    params: Hyperparameters
    partition: Partition
    missing: str | None
    wanted: bool
    doubts: tuple[str, ...] = ()

    def key(self, datasets: Datasets) -> str:
        """Hash everything that defines the cell's result into 12 hex digits; opens the data set for its digest."""
        algorithm = [self.algorithm.name, self.algorithm.version, _given(self.params)]
        return fingerprint(self.setting(datasets) | {"algorithm": algorithm})

    def setting(self, datasets: Datasets) -> dict[str, Any]:
        """Return everything that defines the cell's result beside its algorithm, as plain values."""
        public = self.cell.federation.public
        setting = {
            "schema": SCHEMA,
            "cell": self.cell.model_dump(exclude_defaults=True, exclude={"algorithm", "partition"}, by_alias=True),
            "partition": [next(iter(self.cell.partition)), _given(self.partition)],
            "data": datasets.open(self.cell.dataset.name).digest,
        }
        if public is not None and public.source != "train":
            setting["public data"] = datasets.open(public.source).digest
        return setting


def fingerprint(value: Any) -> str:
    """Hash plain values into 12 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def resolve(suite: Suite, datasets: Datasets) -> list[Job]:
    """Look up what every cell of the suite names.

    Raises:
        SuiteError: with one line per fault, each naming file and line.
    """
    jobs: list[Job] = []
    faults: dict[str, None] = {}
    for planned in suite.cells:
        try:
            jobs.append(_job(planned, datasets))
        except UserError as error:
            faults.update(dict.fromkeys(str(error).splitlines()))
    if faults:
        raise SuiteError("\n".join(faults))
    return jobs


def open_cell_data(cell: Cell, directories: Sequence[FilePath]) -> Dataset:
    """Open the images of a cell, cut to the number it asks for."""
    dataset = open_dataset(cell.dataset.name, directories)
    return dataset.subset(cell.dataset.train, cell.dataset.test)


def read_partition(spec: str | Mapping[str, Any], where: Callable[[Path], str]) -> Partition:
    """Look up a scheme and check its parameters.

    Args:
        spec: as a suite names it.
        where: maps a path below ``partition`` to the start of the messages.

    Raises:
        SuiteError: with one line per fault.
    """
    try:
        return parse_partition(spec)
    except ValidationError as error:
        name = spec if isinstance(spec, str) else next(iter(spec))
        raise SuiteError("\n".join(explain(error, PARTITIONS[name], lambda path: where((name, *path))))) from error
    except UserError as error:
        raise SuiteError(f"{where(tuple(spec) if isinstance(spec, Mapping) else ())}: {error}") from error


def parse_components(cell: Cell) -> tuple[type[Algorithm], Hyperparameters, Partition]:
    """Look up a cell that was resolved before: in a child process, or for a rerun.

    Raises:
        UserError: its algorithm is not here any more, or does not take its hyper-parameters.
    """
    name = cell.algorithm.name
    try:
        algorithm = find_algorithm(name)
        return algorithm, algorithm.Params.model_validate(cell.algorithm.params), parse_partition(cell.partition)
    except KeyError as error:
        raise UserError(f"there is no algorithm '{name}' here{did_you_mean(name, algorithm_names())}") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "its hyper-parameters"
        raise UserError(f"algorithm '{name}': {where}: {error.errors()[0]['msg']}") from error


def _job(planned: PlannedCell, datasets: Datasets) -> Job:
    cell = planned.cell
    try:
        algorithm = find_algorithm(cell.algorithm.name)
    except KeyError:
        name = cell.algorithm.name
        where = planned.where(("algorithm", "name"))
        raise SuiteError(f"{where}: unknown algorithm '{name}'{did_you_mean(name, algorithm_names())}") from None
    params = _parse(planned, ("algorithm", "params"), algorithm.Params, cell.algorithm.params)
    partition = read_partition(cell.partition, lambda path: planned.where(("partition", *path)))
    for arch in cell.models.architectures:
        try:
            find_architecture(arch)
        except UserError as error:
            raise SuiteError(f"{planned.where(('models', 'arch'))}: {error}") from error
    absent = _absent(planned, datasets)
    if absent is None:
        _check_size(planned, datasets)
        _check_shares(planned, datasets)
        _check_public(planned, datasets)
        _check_models(planned, datasets)
    return Job(cell, planned.coordinates, algorithm, params, partition, absent, planned.wanted, _doubts(planned))


def _doubts(planned: PlannedCell) -> tuple[str, ...]:
    doubts = []
    widest = max(client_widths(planned.cell))
    if widest < 1:
        doubts.append(
            f"{planned.where(('models', 'widths'))}: no client keeps the full model (the widest keeps {widest:g}); "
            "set models.full_client to give it to one, or expect coordinates that static slices never train"
        )
    tail, rounds = planned.cell.local.tail, planned.cell.federation.rounds
    if tail is not None and tail.rounds >= rounds:
        doubts.append(
            f"{planned.where(('local', 'tail'))}: local.tail has {tail.rounds} rounds and the federation {rounds}, so "
            f"every round trains at {tail.factor:g} times local.lr; shorten the tail, or set it to null"
        )
    return tuple(doubts)


def _parse(planned: PlannedCell, path: tuple[str, ...], model: type[Hyperparameters], given: Any) -> Hyperparameters:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise SuiteError("\n".join(explain(error, model, lambda inner: planned.where((*path, *inner))))) from error


def _absent(planned: PlannedCell, datasets: Datasets) -> str | None:
    """Why the cell's data, or its server's public images, can't be used; None when both are there."""
    wanted: list[tuple[str, tuple[str, ...]]] = [(planned.cell.dataset.name, ("dataset", "name"))]
    public = planned.cell.federation.public
    if public is not None and public.source != "train":
        wanted.append((public.source, ("federation", "public", "from")))
    for name, path in wanted:
        try:
            missing = datasets.missing(name)
        except DataError as error:
            if not planned.wanted:  # it need not be known on this machine
                return str(error)
            raise SuiteError(f"{planned.where(path)}: {error}") from error
        if missing is not None:
            return missing
    return None


def _check_size(planned: PlannedCell, datasets: Datasets) -> None:
    """Refuse more images than there are, and more clients than the training images can serve."""
    cell = planned.cell
    dataset = datasets.open(cell.dataset.name)
    for part, kind, split in (("train", "training", dataset.train), ("test", "test", dataset.test)):
        wanted = getattr(cell.dataset, part)
        if wanted is not None and wanted > len(split):
            raise SuiteError(
                f"{planned.where(('dataset', part))}: dataset.{part} is {wanted}, "
                f"but {cell.dataset.name} has {len(split)} {kind} images"
            )
    images = cell.dataset.train or len(dataset.train)
    left = max(0, images - round(cell.federation.validation * images) - round(_public_fraction(cell) * images))
    if left < MINIMUM_PER_CLIENT * cell.federation.clients:
        raise SuiteError(
            f"{planned.where(('federation', 'clients'))}: federation.clients is {cell.federation.clients}, but only "
            f"{left} images are left for clients; each needs at least {MINIMUM_PER_CLIENT}"
        )


def _check_shares(planned: PlannedCell, datasets: Datasets) -> None:
    """Refuse a share of the training images, for validation or the server, that is no image at all."""
    cell = planned.cell
    images = cell.dataset.train or len(datasets.open(cell.dataset.name).train)
    shares = {("validation",): cell.federation.validation, ("public", "fraction"): _public_fraction(cell)}
    for path, share in shares.items():
        if share and not round(share * images):
            raise SuiteError(
                f"{planned.where(('federation', *path))}: federation.{'.'.join(path)} is {share:g}, which is no image "
                f"out of {images}; make it larger or leave it out"
            )


def _check_public(planned: PlannedCell, datasets: Datasets) -> None:
    """Refuse public images that are the clients' own, or that the cell's models could not read."""
    public = planned.cell.federation.public
    if public is None or public.source == "train":
        return
    names = (planned.cell.dataset.name, public.source)
    opened = [datasets.open(name) for name in names]
    own, other = ((data.size, data.size, data.channels) for data in opened)
    if own != other:
        raise SuiteError(
            f"{planned.where(('federation', 'public', 'from'))}: images of {names[1]} are {_shape(other)}, "
            f"those of {names[0]} are {_shape(own)}; public images need the same shape"
        )
    shared, images = datasets.in_common(*names), len(opened[1].train)
    if shared > _CHANCE * images:
        raise SuiteError(
            f"{planned.where(('federation', 'public', 'from'))}: {shared} of the {images} images of {names[1]} are "
            f"training images of {names[0]}, which clients and validation hold; "
            "name another data set, or write from: train and a fraction"
        )


def _check_models(planned: PlannedCell, datasets: Datasets) -> None:
    """Refuse architectures that the images are too small for."""
    models, data = planned.cell.models, datasets.open(planned.cell.dataset.name)
    for arch in models.architectures:
        wrong = misfit(arch, models.norm, data.channels, data.size, data.num_classes)
        if wrong is not None:
            shape = _shape((data.size, data.size, data.channels))
            raise SuiteError(
                f"{planned.where(('models', 'arch'))}: {arch} cannot take images of {planned.cell.dataset.name}, "
                f"which are {shape} ({wrong}); choose another architecture"
            )


def _shape(image: tuple[int, ...]) -> str:
    return "×".join(map(str, image))


def _public_fraction(cell: Cell) -> float:
    public = cell.federation.public
    return public.fraction if public is not None and public.source == "train" else 0.0


def _given(model: BaseModel) -> dict[str, Any]:
    """Parameters off their defaults: one that is added later leaves old keys as they were."""
    return model.model_dump(mode="json", exclude_defaults=True)
