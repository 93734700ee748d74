"""Named variants of an algorithm: the same class with other defaults."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from mosaic_bench.api import Algorithm, Hyperparameters, parameter, register

_LIMITS = ("ge", "gt", "le", "lt")


def with_defaults(params: type[Hyperparameters], source: str, **defaults: Any) -> type[Hyperparameters]:
    """Return the same hyper-parameters, within the same limits, with other defaults.

    Raises:
        ValueError: a name that ``params`` does not have.
    """
    unknown = defaults.keys() - params.model_fields.keys()
    if unknown:
        raise ValueError(f"{params.__qualname__} has no {', '.join(sorted(unknown))}")
    fields: dict[str, Any] = {}
    for name, value in defaults.items():
        field = params.model_fields[name]
        unit = dict(field.json_schema_extra or {})["unit"]  # type: ignore[arg-type]
        limits = {key: getattr(limit, key) for limit in field.metadata for key in _LIMITS if hasattr(limit, key)}
        fields[name] = (field.annotation, parameter(value, unit=str(unit), source=source, **limits))
    return create_model("Params", __base__=params, **fields)


def preset(
    algorithm: type[Algorithm], name: str, title: str, *, reveals: frozenset[str] | None = None, **defaults: Any
) -> type[Algorithm]:
    """Register ``algorithm`` once more as ``name``, with other defaults.

    Args:
        algorithm: a registered algorithm.
        name: what suites call the variant.
        title: what tables call it.
        reveals: what it uses beside weights, where that differs.
        defaults: hyper-parameters by name.
    """
    members = {
        "__doc__": f"{algorithm.title} with {', '.join(f'{key}={value}' for key, value in defaults.items())}.",
        "__module__": algorithm.__module__,
        "Params": with_defaults(algorithm.Params, f"preset {name}", **defaults),
        "variant_of": algorithm.name,
        "reveals": algorithm.reveals if reveals is None else reveals,
        "conformance_params": {key: v for key, v in algorithm.conformance_params.items() if key not in defaults},
        "stages": classmethod(lambda cls, params, rounds, cohort: algorithm.stages(params, rounds, cohort)),
        "slice_titles": {key: title + t.removeprefix(algorithm.title) for key, t in algorithm.slice_titles.items()},
    }
    variant = type(f"{algorithm.__name__}[{name}]", (algorithm,), members)
    return register(name, paper=algorithm.paper, title=title, version=algorithm.version, extension=algorithm.extension)(
        variant
    )
