"""What a suite may say: the sections of a cell, and how to run a grid of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from mosaic_bench.suite.errors import LocatedError, Path
from mosaic_bench.suite.report_schema import ReportSpec
from mosaic_bench.suite.section import Section
from mosaic_bench.suite.units import parse_bytes, parse_seconds


def _named(value: Any) -> Any:
    """``fedavg`` is short for ``{name: fedavg}``."""
    return {"name": value} if isinstance(value, str) else value


def _component(value: Any) -> Any:
    """``iid`` is short for ``{iid: {}}``; ``{dirichlet: null}`` for ``{dirichlet: {}}``."""
    if isinstance(value, str):
        return {value: {}}
    if isinstance(value, dict) and len(value) == 1:
        return {name: {} if params is None else params for name, params in value.items()}
    return value


def _architecture(value: Any) -> Any:
    """``resnet8`` is short for ``{arch: resnet8}``."""
    return {"arch": value} if isinstance(value, str | list) else value


_SHORT_FORMS = {"algorithm": _named, "dataset": _named, "partition": _component, "models": _architecture}

INSTEAD_OF: dict[Path, Path] = {("local", "steps"): ("local", "epochs"), ("local", "epochs"): ("local", "steps")}
"""Settings of which a cell has one: where a later file, an override or ``--set`` gives it, the other goes."""


def long_form(section: str, value: Any) -> Any:
    """Write out the short form of a section: ``dataset: fmnist`` -> ``dataset: {name: fmnist}``."""
    return _SHORT_FORMS[section](value) if section in _SHORT_FORMS else value


class AlgorithmSpec(Section):
    """Which algorithm, with which hyper-parameters off their defaults."""

    name: str
    params: dict[str, Any] = {}


class DatasetSpec(Section):
    """Which data set, and how many of its training and test images (all when not said)."""

    name: str
    train: int | None = Field(None, ge=2)
    test: int | None = Field(None, ge=1)


class WidthRule(Section):
    """Widths r_i = (1/2)^min(sigma, floor(rho * i / K)) for clients i = 1..K (the rule of DFRD's published code)."""

    rho: float = Field(gt=0)
    sigma: int = Field(ge=0)


class ModelsSpec(Section):
    """What the clients train: one architecture, slices of it by width, or several architectures.

    Attributes:
        arch: one architecture, or a list of them (a family: clients run different ones).
        assign: how a family spreads over clients: in turn, smallest architecture to the client with the least data,
            or an explicit list of indices into ``arch``, one per client.
        width: multiplies every channel count of every model, the server's too.
        widths: the share of the server's width that each client trains, one per client or by a rule; None for all.
        extract: how a client's slice is chosen: static (HeteroFL), rolling (FedRolex), random (federated dropout).
        full_client: the first client keeps the full model whatever the widths say.
        norm: normalisation layers of every model.
        batch_statistics: where the global model's BatchNorm statistics come from: the clients' running statistics,
            averaged, or re-estimated on the server's public images.
    """

    arch: str | Annotated[list[str], Field(min_length=1)]
    assign: Literal["cycle", "capacity"] | list[Annotated[int, Field(ge=0)]] = "cycle"
    width: float = Field(1.0, gt=0, le=1)
    widths: list[Annotated[float, Field(gt=0, le=1)]] | WidthRule | None = None
    extract: Literal["static", "rolling", "random"] = "static"
    full_client: bool = False
    norm: Literal["batch", "group", "none"] = "batch"
    batch_statistics: Literal["aggregate", "recalibrate"] = "aggregate"

    @model_validator(mode="after")
    def _one_kind_of_heterogeneity(self) -> ModelsSpec:
        if isinstance(self.arch, list) and self.widths is not None:
            raise ValueError("widths slice one architecture; give either a list of architectures or widths, not both")
        if self.widths is not None and self.width not in (1, 1 / 2, 1 / 4, 1 / 8):
            raise ValueError("beside widths, width must be 1, 0.5, 0.25 or 0.125, which divide every channel count")
        return self

    @property
    def architectures(self) -> list[str]:
        """Every architecture in the federation."""
        return list(self.arch) if isinstance(self.arch, list) else [self.arch]


class PublicSpec(Section):
    """Unlabelled images that the server owns: a fraction of the training images, or another data set."""

    source: str = Field("train", alias="from")
    fraction: float = Field(0.05, gt=0, le=1)

    model_config = ConfigDict(populate_by_name=True)


class FederationSpec(Section):
    """How many clients, how many of them a round asks, for how long, and what the server holds.

    Attributes:
        clients: number of clients K.
        participation: share of the clients in each round's cohort, in (0, 1].
        rounds: communication rounds.
        validation: share of the training images that no client holds, labelled, for choices (never for training).
        public: unlabelled images that the server owns; None when it has none.
        weighting: weights of the average, the clients' sample counts or equal ones.
    """

    clients: int = Field(ge=1)
    participation: float = Field(1.0, gt=0, le=1)
    rounds: int = Field(ge=1)
    validation: float = Field(0.0, ge=0, lt=1)
    public: PublicSpec | None = None
    weighting: Literal["samples", "uniform"] = "samples"

    @property
    def cohort(self) -> int:
        """Clients in each round's cohort."""
        return max(1, round(self.participation * self.clients))


class TailSpec(Section):
    """The last communication rounds, in which the model learns more slowly, whatever the algorithm.

    Attributes:
        rounds: how many of the suite's rounds, counted from the last.
        factor: multiplies the clients' learning rate in these rounds, and the one at which a server distils.
    """

    rounds: int = Field(ge=1)
    factor: float = Field(0.05, ge=0)


class LocalSpec(Section):
    """One client's training in one round: SGD on its own images.

    Attributes:
        steps: minibatches a round; or
        epochs: passes over the client's images a round. Exactly one of the two is given.
        batch: images per minibatch.
        lr, momentum, weight_decay: of SGD, whose state is not kept between rounds.
        tail: the last rounds at a lower rate; None keeps one rate throughout.
        clip: largest gradient norm; None leaves gradients alone.
        augment: none, or standard (crop of the image padded by an eighth of its side; flip if the data allows it).
        precision: fp32, or bf16 autocast.
    """

    steps: int | None = Field(None, ge=1)
    epochs: int | None = Field(None, ge=1)
    batch: int = Field(64, ge=2)
    lr: float = Field(0.01, ge=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    tail: TailSpec | None = None
    clip: float | None = Field(None, gt=0)
    augment: Literal["none", "standard"] = "none"
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _one_budget(self) -> LocalSpec:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs, and only one of them")
        return self


class EvaluateSpec(Section):
    """When predictors are evaluated, and on what beside all test images.

    Attributes:
        every: evaluate after every so many steps, and after the last.
        local: deal the test images to the clients too, and report the mean accuracy over clients as
            ``acc/PREDICTOR@local``: every client gets the label mix of the whole test set (global) or of its own
            training images (own).
    """

    every: int = Field(1, ge=1)
    local: Literal["none", "global", "own"] = "none"


class Cell(Section):
    """One experiment, fully resolved."""

    algorithm: Annotated[AlgorithmSpec, BeforeValidator(_named)]
    dataset: Annotated[DatasetSpec, BeforeValidator(_named)]
    partition: Annotated[dict[str, dict[str, Any]], BeforeValidator(_component)]
    models: Annotated[ModelsSpec, BeforeValidator(_architecture)]
    federation: FederationSpec
    local: LocalSpec
    evaluate: EvaluateSpec = EvaluateSpec()
    seed: int = Field(0, ge=0)

    @field_validator("partition")
    @classmethod
    def _one_scheme(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if len(value) != 1:
            raise ValueError(f"expected one scheme, such as {{dirichlet: {{alpha: 0.1}}}}, got {len(value)}")
        return value

    @model_validator(mode="after")
    def _lists_match_clients(self) -> Cell:
        clients = self.federation.clients
        for name, given in (("widths", self.models.widths), ("assign", self.models.assign)):
            if isinstance(given, list) and len(given) != clients:
                raise LocatedError(("models", name), f"{len(given)} entries for {clients} clients; give one per client")
        if isinstance(self.models.assign, list) and max(self.models.assign) >= len(self.models.architectures):
            raise LocatedError(("models", "assign"), "an index points beyond the list of architectures")
        return self

    @model_validator(mode="after")
    def _recalibration_has_images(self) -> Cell:
        if self.models.batch_statistics == "recalibrate" and self.federation.public is None:
            raise LocatedError(("models", "batch_statistics"), "recalibrate needs public images; set federation.public")
        return self


class RunSpec(Section):
    """How cells are run; nothing here can change a result.

    Attributes:
        timeout: seconds a cell may take (or 90s, 30m, 6h); None for no limit.
        checkpoint_every: steps between checkpoints.
        threads: torch threads of a cell on a CPU. Part of the numeric environment: it changes the last bits.
        isolation: one child process per cell, or none (in-process, for suites of second-long cells: their timeout is
            looked at as each step ends, and no memory is measured).
        prefixes: bytes (or 500MB, 20GB) that steps which cells share may take on disk; 0 shares nothing.
        retries: how often a cell that ran out of memory is tried again, alone on its device.
        claim_expiry: seconds without a sign of life after which a cell held by another machine is taken over. Longer
            than a network file system may answer from its cache (60 s for NFS, as it comes).
    """

    timeout: Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(parse_seconds)] = None
    checkpoint_every: int = Field(10, ge=1)
    threads: int = Field(1, ge=1)
    isolation: Literal["process", "none"] = "process"
    prefixes: Annotated[Annotated[int, Field(ge=0)], BeforeValidator(parse_bytes)] = 20 * 10**9
    retries: int = Field(1, ge=0)
    claim_expiry: Annotated[Annotated[float, Field(ge=5)], BeforeValidator(parse_seconds)] = 90


class Override(Section):
    """Settings for the cells that match ``when`` (grid axis -> value); ``set`` names dotted keys of a cell."""

    when: dict[str, Any] = {}
    set: dict[str, Any]


class SuiteFile(Section):
    """The sections of a suite file. A section of a cell may be given here, in ``grid``, or in ``overrides``."""

    suite: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    title: str = ""
    grid: dict[str, Any]
    algorithm: Any = None
    dataset: Any = None
    partition: Any = None
    models: Any = None
    federation: dict[str, Any] = {}
    local: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}
    seed: Any = None
    overrides: list[Override] = []
    run: RunSpec = RunSpec()
    report: ReportSpec = ReportSpec()
