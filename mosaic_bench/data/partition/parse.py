"""Partitions as suite files write them."""

from collections.abc import Mapping
from typing import Any

from mosaic_bench.data.errors import DataError
from mosaic_bench.data.partition.base import PARTITIONS, Partition
from mosaic_bench.errors import did_you_mean


def parse_partition(spec: str | Mapping[str, Any]) -> Partition:
    """The partition that a suite file names.

    Args:
        spec: a name, or one name with its parameters, such as `{"dirichlet": {"alpha": 0.1}}`.

    Raises:
        DataError: if the name is unknown or the form is another.
        pydantic.ValidationError: if a parameter is missing, unknown or out of range.
    """
    if isinstance(spec, Mapping) and len(spec) == 1:
        [(name, parameters)] = spec.items()
    elif isinstance(spec, str):
        name, parameters = spec, None
    else:
        raise DataError(f"a partition is a name or {{name: {{parameter: value}}}}, not {spec!r}.")
    if name not in PARTITIONS:
        raise DataError(f"unknown partition '{name}'{did_you_mean(str(name), PARTITIONS)}")
    return PARTITIONS[name].model_validate({} if parameters is None else parameters)
