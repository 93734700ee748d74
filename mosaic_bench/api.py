"""The contract between an algorithm and the harness: all that an algorithm's file imports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mosaic_bench.errors import Unsupported
from mosaic_bench.fed.client_data import ClientData, PrivacyError
from mosaic_bench.fed.federation import Federation
from mosaic_bench.fed.local_training import Batch, cross_entropy
from mosaic_bench.fed.random import Random
from mosaic_bench.fed.task import Task
from mosaic_bench.fed.update import Received, Update, Updates

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Batch",
    "ClientData",
    "Federation",
    "Hyperparameters",
    "Predictor",
    "Predictors",
    "PrivacyError",
    "Random",
    "Received",
    "Stage",
    "Task",
    "Unsupported",
    "Update",
    "Updates",
    "cross_entropy",
    "parameter",
    "register",
]

Predictor = nn.Module | Callable[[Tensor], Tensor]
"""Maps images, float32 (b, C, H, W), to logits (b, classes)."""

Predictors = Mapping[str, Predictor | Mapping[str, Predictor]]
"""What is evaluated, by name; several models under one name count with the mean of their accuracies."""

ALGORITHMS: dict[str, type[Algorithm]] = {}
"""Registered algorithms by name."""

A = TypeVar("A", bound="type[Algorithm]")
M = TypeVar("M", bound=nn.Module)


class Hyperparameters(BaseModel):
    """Hyper-parameters of one algorithm: immutable, and strict about names and types, as the rest of a suite is."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def parameter(default: Any, *, unit: str, source: str, **limits: Any) -> Any:
    """Declare one hyper-parameter: its default, unit, source of the default, and limits (``ge``, ``gt``, ...)."""
    return Field(default, json_schema_extra={"unit": unit, "source": source}, **limits)


@dataclass(frozen=True)
class Stage:
    """Steps that come out the same, bit for bit, in every cell whose algorithm declares them: they are done once.

    Attributes:
        owner: the algorithm whose file holds the code of these steps; its version is part of what the stage is.
        name: tells the stages of one owner apart.
        steps: how many steps the algorithm spends in the stage.
        keeps: attributes of ``self`` that the stage changes; all others stay as ``setup`` left them.
        params: all that the result depends on beside the cell's data, partition, models, local settings and seed:
            hyper-parameters, and the rounds of the suite where the stage looks at them. Plain values.
    """

    owner: type[Algorithm]
    name: str
    steps: int
    keeps: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)


class Algorithm(ABC):
    """One federated-learning method.

    What the method keeps between steps stands in attributes of ``self``: modules and optimisers made in ``setup`` (or
    later through ``self.module``), tensors, and plain Python values or containers of them. The harness saves and
    restores exactly these, so a method has no code for checkpoints.

    Attributes:
        name, paper, title, version, extension: set by ``register``.
        reveals: kinds of things that the method uses beyond model weights: what clients upload beside them ("label
            counts", "prototypes", ...), and what the server holds of data ("public images", "validation labels").
            Using another kind raises.
        variant_of: the algorithm whose code this is, for one that only has other defaults; the conformance suite tests
            it when it is named.
        conformance_params: hyper-parameters that make a run of the method a matter of a second, for the conformance
            suite (``mosaic_bench.conformance``).
        slice_titles: what tables call the method under width budgets, by extraction; its title when not said.
        fed: the services of the harness.
        params: the method's hyper-parameters.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int]
    extension: ClassVar[bool]
    reveals: ClassVar[frozenset[str]] = frozenset()
    variant_of: ClassVar[str | None] = None
    conformance_params: ClassVar[Mapping[str, Any]] = {}
    slice_titles: ClassVar[Mapping[str, str]] = {}

    class Params(Hyperparameters):
        """No hyper-parameters beyond the suite's."""

    server: Any

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "stages" not in vars(cls):  # a subclass may have changed the steps: it declares its stages itself
            cls.stages = Algorithm.stages  # type: ignore[method-assign]

    def __init__(self, fed: Federation, params: Hyperparameters) -> None:
        self.fed = fed
        self.params: Any = params
        self._made_later: set[str] = set()
        self._awaiting: dict[str, Any] = {}  # restored states of modules that self.module has yet to make

    @property
    def steps(self) -> int:
        """Steps in all: the suite's communication rounds, unless the method counts otherwise."""
        return self.fed.rounds

    @classmethod
    def stages(cls, params: Any, rounds: int, cohort: int) -> Sequence[Stage]:
        """Declare the first steps as stages, in order from step 0, for other cells to share.

        Inside its stages a method draws under the same names and evaluates the same predictors as every other that
        declares them. Nothing is shared by default, nor inherited.

        Args:
            params: the method's hyper-parameters.
            rounds: communication rounds of the suite.
            cohort: clients in each cohort.
        """
        return ()

    @abstractmethod
    def setup(self) -> None:
        """Make models and optimisers. May raise ``Unsupported`` with one sentence."""

    @abstractmethod
    def step(self, t: int) -> None:
        """Do step ``t`` (from 0): a communication round, or one server epoch of a one-shot method."""

    def predictors(self) -> Predictors:
        """Return what is evaluated, by name; ``server`` is what the method would deploy.

        Where that is one model per architecture (or per client), give a mapping of them.
        """
        return {"server": self.server}

    def stage_of(self, t: int) -> str | None:
        """Name the part of the method that step ``t`` belongs to, whose seconds are then counted; none by default."""
        return None

    def samples(self, n: int) -> Mapping[int, Tensor]:
        """Return n images of each client's generator, normalised float32 (n, C, H, W), by client; none by default.

        Asked after the last step: the harness draws them, and measures how near they come to the client's images.
        """
        return {}

    def figures(self) -> Mapping[str, Mapping[str, Any]]:
        """Return arrays for figures by file name; none by default. Asked after the last step.

        Each file is a mapping of names to tensors, arrays, numbers or strings, in a format of docs/reports.md. What
        they are made of is part of the method's state, like everything else that it keeps.
        """
        return {}

    def module(self, name: str, factory: Callable[[], M]) -> M:
        """Return ``self.NAME``, building it on first use: for modules that ``setup`` cannot make yet."""
        if not hasattr(self, name):
            module = self.fed.module(name, factory)
            if name in self._awaiting:
                module.load_state_dict(self._awaiting.pop(name))
            setattr(self, name, module)
            self._made_later.add(name)
        return getattr(self, name)


def register(
    name: str, *, paper: str, title: str | None = None, version: int = 1, extension: bool = False
) -> Callable[[A], A]:
    """Make an algorithm known by ``name``.

    Args:
        name: what suites call it.
        paper: authors, venue and year.
        title: what tables call it; the name when not given.
        version: raise it when a default changes, so that old results are not taken for new ones.
        extension: departs from the paper; marked with a dagger in tables.

    Raises:
        ValueError: another class has the name already.
    """

    def add(cls: A) -> A:
        known = ALGORITHMS.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"two algorithms are called {name!r}: {known.__module__} and {cls.__module__}")
        cls.name, cls.paper, cls.title = name, paper, title or name
        cls.version, cls.extension = version, extension
        ALGORITHMS[name] = cls
        return cls

    return add
