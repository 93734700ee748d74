"""Which cells cost the same: the seed, the skew of the partition and the learning rate make no difference."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from mosaic_bench import __version__
from mosaic_bench.api import Algorithm
from mosaic_bench.data.catalog import CATALOG
from mosaic_bench.engine.datasets import Datasets
from mosaic_bench.engine.resolve import Job, fingerprint
from mosaic_bench.store import source_digest

_FREE = {"lr", "weight_decay"}  # settings of local training that cost nothing


@dataclass(frozen=True)
class Images:
    """What is counted of a data set: its classes, the shape of its images, and how many there are."""

    channels: int
    size: int
    classes: int
    train: int
    test: int


def images_of(job: Job, datasets: Datasets) -> Images:
    """Describe the images of a cell; those of a data set that is not here are known from the catalog."""
    wanted = job.cell.dataset
    if datasets.missing(wanted.name) is None:
        found = datasets.open(wanted.name)
        shape, train, test = (found.channels, found.size, found.num_classes), len(found.train), len(found.test)
    else:
        record = CATALOG[wanted.name]
        shape, train, test = (record.channels, record.size, record.num_classes), record.train, record.test
    return Images(*shape, train=wanted.train or train, test=wanted.test or test)


def cost_shape(job: Job, images: Images) -> str:
    """Hash what a cell's cost depends on into 12 hex digits."""
    cell = job.cell
    depends_on = {
        "harness": __version__,
        "algorithm": [job.algorithm.name, _source(job.algorithm), job.params.model_dump(mode="json")],
        "images": asdict(images),
        "models": cell.models.model_dump(mode="json"),
        "federation": cell.federation.model_dump(mode="json"),
        "local": cell.local.model_dump(mode="json", exclude=_FREE),
        "evaluate": cell.evaluate.model_dump(mode="json"),
    }
    return fingerprint(depends_on)


@cache
def _source(algorithm: type[Algorithm]) -> str:
    return source_digest([Path(inspect.getfile(algorithm))])
