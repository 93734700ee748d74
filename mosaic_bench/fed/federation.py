"""The services an algorithm gets. They are its only way to clients, and they count what everything costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mosaic_bench.data.device import Augmentation, DeviceImages, augment
from mosaic_bench.errors import Unsupported
from mosaic_bench.fed.assignment import ClientModel
from mosaic_bench.fed.average import CoverageAverage
from mosaic_bench.fed.client_data import ClientData, PrivacyError
from mosaic_bench.fed.client_models import ClientModels
from mosaic_bench.fed.flops import FlopCounter
from mosaic_bench.fed.ledger import Ledger, size_in_bytes
from mosaic_bench.fed.local_training import SGD, CountedLoss, Loss, cross_entropy, train_client
from mosaic_bench.fed.public import PublicImages
from mosaic_bench.fed.random import Random
from mosaic_bench.fed.seeds import generator, seeded
from mosaic_bench.fed.split import Split
from mosaic_bench.fed.task import Task
from mosaic_bench.fed.update import Received, Update, Updates
from mosaic_bench.models import Classifier, eval_mode
from mosaic_bench.models.norm import recalibrate_
from mosaic_bench.suite import Cell

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)

_VALIDATION_BATCH = 500  # images; fixed, since the batch can change the last bits of a convolution


class Federation:
    """Clients, their data and models, and a ledger, behind a handful of services.

    Args:
        cell: the experiment.
        task: shape and scale of its images.
        images: the training images of all clients, on the device where everything is computed.
        parts: which of them are whose.
        augmentation: what local training does to its images; None leaves them alone.
        reveals: kinds of things that the algorithm declared to use beyond model weights.
        public: images of another data set that the server owns, when the cell names one.

    Attributes:
        rounds, clients: communication rounds and number of clients.
        local: the suite's local-training settings.
        task: what may be known of the data without seeing it.
        ledger: costs so far.
    """

    def __init__(
        self,
        cell: Cell,
        task: Task,
        images: DeviceImages,
        parts: Split,
        augmentation: Augmentation | None = None,
        reveals: frozenset[str] = frozenset(),
        public: DeviceImages | None = None,
    ) -> None:
        self.rounds, self.clients = cell.federation.rounds, cell.federation.clients
        self.local = cell.local
        self.task = task
        device = images.labels.device
        self.ledger = Ledger(device)
        self._cell, self._device, self._reveals = cell, device, reveals
        self._train_images = images
        self._indices = [torch.from_numpy(part).to(device) for part in parts.clients]
        self._public = self._public_images(parts, public)
        self._validation = torch.from_numpy(parts.validation).to(device)
        self._augmentation = augmentation
        self._models = ClientModels(cell, task, device, [len(part) for part in parts.clients])
        self._losses: list[Tensor] = []
        self._t = 0

    # -- clients and models -------------------------------------------------------------------------------------------

    def cohort(self, t: int) -> list[int]:
        """Return the clients that take part in step ``t``, ascending; equal for every algorithm."""
        order = torch.randperm(self.clients, generator=generator(self._cell.seed, "cohort", t=t))
        return sorted(order[: self._cell.federation.cohort].tolist())

    def model(self, arch: str | None = None, client: int | None = None) -> Classifier:
        """Return a fresh model: a full-width one of ``arch``, or the one that ``client`` trains.

        Initial weights depend on the cell's seed, the architecture and the width, never on the algorithm.

        Raises:
            Unsupported: clients run different architectures and none was named.
        """
        if client is not None:
            chosen = self._models.of(client)
        elif arch is not None:
            chosen = ClientModel(arch)
        elif len(self.architectures) == 1:
            chosen = ClientModel(self.architectures[0])
        else:
            raise Unsupported("needs one global model, but the clients run different architectures")
        return self._models.build(chosen)

    def models(self) -> dict[str, Classifier]:
        """Return one fresh full-width model per architecture in the federation."""
        return {arch: self.model(arch) for arch in self.architectures}

    @property
    def architectures(self) -> list[str]:
        """Architectures in the federation, in the suite's order."""
        return list(dict.fromkeys(self._cell.models.architectures))

    def module(self, name: str, factory: Callable[[], M], t: int = 0) -> M:
        """Build a module of the algorithm's own on the cell's device; initial weights depend on seed, name and t."""
        with seeded(self._cell.seed, "module", name=name, t=t):
            return self._place(factory())

    def rng(self, name: str, t: int = 0) -> Random:
        """Return the draws that belong to ``name`` at ``t``: the same whenever they are asked for."""
        return Random(generator(self._cell.seed, "algorithm", name=name, t=t), self._device)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the suite's precision as a context for server-side loops."""
        if self.local.precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def augmented(self, images: Tensor, random: Random) -> Tensor:
        """Augment normalised images (b, C, H, W) as local training does; gradients flow through."""
        if self._augmentation is None:
            return images
        draws = self._augmentation.draw(len(images), random.generator).to(self._device)
        black = self.task.from_pixels(images.new_zeros(1, self.task.channels, 1, 1))  # crops are padded with pixel 0
        moved = augment((images - black).permute(0, 2, 3, 1), draws)
        return moved.permute(0, 3, 1, 2) + black

    @property
    def public(self) -> PublicImages:
        """Unlabelled images that the server owns.

        Raises:
            Unsupported: the suite gives the server none.
            PrivacyError: the algorithm did not declare "public images" in `reveals`.
        """
        images = self._server_images()
        self._check_declared("public images")
        return images

    @torch.inference_mode()
    def validation_accuracy(self, model: nn.Module) -> float:
        """Return the accuracy, in [0, 1], of ``model`` in eval mode on labelled images that the server holds.

        For choices such as early stopping. Neither images nor labels are handed out. Waits for the device.

        Raises:
            Unsupported: the suite holds no images back for validation.
            PrivacyError: the algorithm did not declare "validation labels" in `reveals`.
        """
        if not len(self._validation):
            raise Unsupported("needs a validation split, and federation.validation is 0")
        self._check_declared("validation labels")
        right = torch.zeros((), dtype=torch.int64, device=self._device)
        with eval_mode(model), self.autocast():
            for chosen in self._validation.split(_VALIDATION_BATCH):
                predicted = model(self._train_images.batch(chosen)).argmax(1)
                right += (predicted == self._train_images.labels[chosen]).sum()
        return int(right) / len(self._validation)

    # -- what crosses the network -------------------------------------------------------------------------------------

    def broadcast(
        self, model: Classifier | Mapping[str, Classifier], cohort: Iterable[int], **payload: Any
    ) -> Iterator[Received]:
        """Send each client its part of ``model``: the whole, or its width slice at this step.

        Args:
            model: the global model, or one per architecture.
            cohort: who receives it.
            payload: what is sent beside, by kind; whole to every client.

        Raises:
            Unsupported: a client runs an architecture of which there is no model.
        """
        models = model if isinstance(model, Mapping) else {self.architectures[0]: model}
        states = {arch: dict(each.state_dict()) for arch, each in models.items()}
        for client in cohort:
            arch = self._models.of(client).arch
            if arch not in models:
                raise Unsupported("sends one architecture, but the clients run different ones")
            piece = self._models.slice(models[arch], client, self._t)
            state = piece.take(states[arch]) if piece else states[arch]
            self.ledger.down["model"] += size_in_bytes(state)
            for kind, value in payload.items():
                self.ledger.down[kind] += size_in_bytes(value)
            yield Received(client, arch, piece, state, payload)

    def stay(self, models: Mapping[int, Classifier], cohort: Iterable[int]) -> Iterator[Received]:
        """Let each client of the cohort go on from its own model (client -> model); nothing crosses the network."""
        for client in cohort:
            arch = self._models.of(client).arch
            yield Received(client, arch, None, dict(models[client].state_dict()), stays=True)

    def train(
        self,
        received: Iterable[Received],
        loss: Loss = cross_entropy,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        lr: float | None = None,
    ) -> Updates:
        """Let every client train what it received, one client at a time, as the updates are read.

        Args:
            received: from ``broadcast`` or ``stay``.
            loss: (model, batch) -> scalar; the mean cross-entropy by default.
            steps, epochs: budget per client; the suite's when neither is given.
            lr: learning rate; the suite's for this step when not given (see ``lr_factor``).

        Raises:
            ValueError: a model that is not the client's own architecture or width.
        """
        return Updates(self._train(received, loss, steps, epochs, lr))

    def lr_factor(self, t: int) -> float:
        """Return what multiplies learning rates of the model in communication round ``t`` (from 0): 1, or the tail's.

        ``train`` applies it to the suite's rate, for round = step; an algorithm whose steps are not rounds gives the
        rate as ``lr``. Rates at which a server trains the model follow it too.
        """
        tail = self.local.tail
        return tail.factor if tail is not None and t >= self.rounds - tail.rounds else 1.0

    def map(self, fn: Callable[..., T], cohort: Iterable[int], kind: str, **payload: Any) -> dict[int, T]:
        """Run ``fn(data, **payload)`` beside each client's data and upload what it returns as ``kind``.

        Args:
            fn: takes a ``ClientData``, and the payload by name.
            cohort: who runs it.
            kind: what the method calls the upload in ``reveals``.
            payload: what is sent to each client for it, by kind.

        Raises:
            PrivacyError: the algorithm did not declare that it reveals ``kind``.
        """
        self._check_declared(kind)
        results = {}
        for client in cohort:
            for sent, value in payload.items():
                self.ledger.down[sent] += size_in_bytes(value)
            with self.ledger.client_time(), self._opened(client) as data, FlopCounter() as counter:
                results[client] = fn(data, **payload)
            self.ledger.count(flops=counter.total)
            self.ledger.up[kind] += size_in_bytes(results[client])
        return results

    def average_(
        self,
        model: Classifier | Mapping[str, Classifier],
        updates: Iterable[Update],
        weights: Mapping[int, float] | None = None,
    ) -> None:
        """Replace ``model`` by the weighted average of the updates, coordinate by coordinate.

        A coordinate is averaged over the clients that hold it and keeps its value when none does; BatchNorm
        statistics are averaged like parameters. Clients weigh by their sample counts unless the suite asks for equal
        weights or ``weights`` (client -> weight) is given. With one model per architecture each is averaged over the
        clients that run it. The models are written last, since clients train from their snapshot until then.
        """
        models = model if isinstance(model, Mapping) else {self.architectures[0]: model}
        averages = {arch: CoverageAverage(each.state_dict()) for arch, each in models.items()}
        present = set()
        for update in updates:
            averages[update.arch].add(update.state, self._weight(update, weights), update.slice)
            present.add(update.arch)
        for arch in present:
            models[arch].load_state_dict(averages[arch].result())
            if self._cell.models.batch_statistics == "recalibrate":
                random = generator(self._cell.seed, "recalibrate")
                recalibrate_(models[arch], self._server_images().batches(self.local.batch, random))

    # -- the harness's side -------------------------------------------------------------------------------------------

    def begin(self, t: int) -> None:
        """Enter step ``t``: slices and batch order depend on it."""
        self._t = t
        self._losses.clear()

    def mean_loss(self) -> float | None:
        """Mean training loss over this step's clients; waits for the device. None when nobody trained."""
        return float(torch.stack(self._losses).mean()) if self._losses else None

    def _train(
        self, received: Iterable[Received], loss: Loss, steps: int | None, epochs: int | None, lr: float | None
    ) -> Iterator[Update]:
        if steps is None and epochs is None:
            steps, epochs = self.local.steps, self.local.epochs
        rate = self.local.lr * self.lr_factor(self._t) if lr is None else lr
        sgd = SGD(rate, self.local.momentum, self.local.weight_decay, self.local.clip)
        for item in received:
            with self.ledger.client_time(), self._opened(item.client) as data:
                update = self._train_one(item, data, loss, steps, epochs, sgd)
            self.ledger.up["model"] += 0 if item.stays else size_in_bytes(update.state)
            self._losses.append(update.loss)
            yield update

    def _train_one(
        self, item: Received, data: ClientData, loss: Loss, steps: int | None, epochs: int | None, sgd: SGD
    ) -> Update:
        kind = self._models.of(item.client)
        model = self._models.load(item)
        budget = (steps or 0) + (epochs or 0) * data.steps_per_epoch(self.local.batch)
        batches = data.batches(self.local.batch, self._t, self._augmentation)
        counted = CountedLoss(loss, self.ledger)
        with seeded(self._cell.seed, "train", client=item.client, t=self._t):
            mean = train_client(model, item, batches, budget, sgd, counted, self.autocast)
        build = partial(self._models.build, kind)
        return Update(item.client, item.arch, item.slice, model.state_dict(), data.samples, mean, build)

    def _weight(self, update: Update, weights: Mapping[int, float] | None) -> float:
        if weights is not None:
            return weights[update.client]
        return float(update.samples) if self._cell.federation.weighting == "samples" else 1.0

    def _place(self, module: M) -> M:
        return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _server_images(self) -> PublicImages:
        if self._public is None:
            raise Unsupported("needs public images, and federation.public is not set")
        return self._public

    def _check_declared(self, kind: str) -> None:
        if kind not in self._reveals:
            raise PrivacyError(f"uses {kind!r}, which it does not declare in `reveals`")

    def _public_images(self, parts: Split, other: DeviceImages | None) -> PublicImages | None:
        declared = "public labels" in self._reveals
        if other is not None:
            return PublicImages(other, torch.arange(len(other.labels), device=self._device), declared, foreign=True)
        if len(parts.public):
            return PublicImages(self._train_images, torch.from_numpy(parts.public).to(self._device), declared)
        return None

    @contextmanager
    def _opened(self, client: int) -> Iterator[ClientData]:
        """Open a client's data for the length of the block."""
        own, classes = self._indices[client], self.task.classes
        data = ClientData(client, self._train_images, own, classes, self._cell.seed, self.ledger)
        try:
            yield data
        finally:
            data.close()
