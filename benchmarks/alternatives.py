"""What might be faster than the local step as it is: ``python -m benchmarks.alternatives``.

Why each was kept or left stands in docs/performance.md.

Random images of 3×32×32 in batches of 64, one thread unless told otherwise; every way is timed in turn with the plain
one (see ``pairs``).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.pairs import Pair, Work, time_pair
from benchmarks.processes import fresh_process, one_by_one, preloaded_process, side_by_side
from mosaic_bench.models import build
from mosaic_bench.models.channels import SteppedPointwise

BATCH, STEPS, CLIENTS, LR, MOMENTUM = 64, 10, 5, 0.02, 0.9
KINDS = list(product(("cnn", "resnet8"), (False, True)))


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = Table("instead of the plain step", "model", "times as fast", title=f"{arguments.threads} thread(s)")
    for name, model, pair in [*_steps_compared(arguments.repeats), *_processes_compared(arguments.repeats)]:
        table.add_row(name, model, str(pair))
    Console().print(table)


def _steps_compared(repeats: int) -> Iterator[tuple[str, str, Pair]]:
    for arch, bf16 in KINDS:
        pair = time_pair(_plain(arch, bf16), _plain(arch, bf16), repeats, usual=True)
        yield "(memory kept, as it is, beside memory given back)", _named(arch, bf16), pair
    for arch, bf16 in product(("resnet8", "resnet18"), (False, True)):
        pair = time_pair(_plain(arch, bf16), _sliced(arch, bf16), repeats)
        yield "(strided shortcuts on pooled pixels, as it is, beside sliced ones)", _named(arch, bf16), pair
    for name, other in {"foreach SGD": _foreach, "torch.compile": _compiled}.items():
        for arch, bf16 in KINDS:
            yield name, _named(arch, bf16), time_pair(other(arch, bf16), _plain(arch, bf16), repeats)
    for arch, size in (("mlp", 8), ("cnn", 8), ("cnn", 32), ("resnet8", 32)):
        pair = time_pair(_batched(arch, size), _sequential(arch, size), repeats)
        yield f"{CLIENTS} clients in one torch.func.vmap", f"{arch} at {size}×{size}, fp32", pair


def _processes_compared(repeats: int) -> Iterator[tuple[str, str, Pair]]:
    n = os.cpu_count() or 1
    for arch, bf16 in KINDS:
        cells = [_plain(arch, bf16) for _ in range(n)]
        pair = time_pair(side_by_side(cells), one_by_one(cells), repeats)
        yield f"({n} cells with a thread each, as it is, beside {n} in turn with {n} threads)", _named(arch, bf16), pair
    pair = time_pair(preloaded_process, fresh_process, repeats)
    yield "(a process that has torch already, as it is, beside a new one)", "", pair


def _named(arch: str, bf16: bool) -> str:
    return f"{arch}, {'bf16' if bf16 else 'fp32'}"


def _batch(size: int = 32, clients: int = 1) -> tuple[Tensor, Tensor]:
    images = torch.randn(clients * BATCH, 3, size, size).to(memory_format=torch.channels_last)
    return images, torch.arange(clients * BATCH) % 10


def _model(arch: str, size: int = 32, norm: str = "batch") -> nn.Module:
    torch.manual_seed(0)
    model = build(arch, channels=3, size=size, classes=10, norm=norm)
    return model.to(memory_format=torch.channels_last)


def _precision(bf16: bool) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def _steps(model: nn.Module, optimiser: torch.optim.Optimizer, bf16: bool, parts: list[tuple[Tensor, Tensor]]) -> Work:
    def work() -> None:
        for images, labels in parts:
            with _precision(bf16):
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return work


def _sgd(model: nn.Module, **kind: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, **kind)


def _plain(arch: str, bf16: bool) -> Work:
    model = _model(arch)
    return _steps(model, _sgd(model, fused=True), bf16, [_batch()] * STEPS)


def _sliced(arch: str, bf16: bool) -> Work:
    """Strided shortcuts as they were: the same numbers, and a gradient in another memory format."""
    model = _model(arch)
    for layer in model.modules():
        if isinstance(layer, SteppedPointwise):
            layer.forward = partial(_on_a_slice, layer)  # type: ignore[method-assign]
    return _steps(model, _sgd(model, fused=True), bf16, [_batch()] * STEPS)


def _on_a_slice(layer: SteppedPointwise, maps: Tensor) -> Tensor:
    rows, columns = layer.stride
    return F.conv2d(maps[..., ::rows, ::columns], layer.weight, layer.bias)


def _foreach(arch: str, bf16: bool) -> Work:
    model = _model(arch)
    return _steps(model, _sgd(model, foreach=True), bf16, [_batch()] * STEPS)


def _compiled(arch: str, bf16: bool) -> Work:
    model = _model(arch)
    return _steps(torch.compile(model), _sgd(model, fused=True), bf16, [_batch()] * STEPS)  # type: ignore[arg-type]


def _sequential(arch: str, size: int) -> Work:
    """Clients one after another, without BatchNorm, which vmap cannot train."""
    works = []
    for _ in range(CLIENTS):
        model = _model(arch, size, "none")
        works.append(_steps(model, _sgd(model, fused=True), False, [_batch(size)] * STEPS))

    def work() -> None:
        for each in works:
            each()

    return work


def _batched(arch: str, size: int) -> Work:
    """All clients in one batched step."""
    models = [_model(arch, size, "none") for _ in range(CLIENTS)]
    weights, _ = torch.func.stack_module_state(models)
    momenta = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    images, labels = _batch(size, CLIENTS)
    images, labels = images.view(CLIENTS, BATCH, 3, size, size), labels.view(CLIENTS, BATCH)

    def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(models[0], weights, (images,)), labels)

    gradients = torch.func.vmap(torch.func.grad(loss))

    def work() -> None:
        for _ in range(STEPS):
            for name, gradient in gradients(weights, images, labels).items():
                momenta[name].mul_(MOMENTUM).add_(gradient)
                weights[name] = (weights[name] - LR * momenta[name]).detach()

    return work


if __name__ == "__main__":
    main()
