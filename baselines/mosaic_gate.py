"""Mosaic with a gate that learns whose generator an image resembles: an extension of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.blocks import descend, logits_of, mixture
from baselines.mosaic import Mosaic
from baselines.pool_distillation import generated
from mosaic_bench.api import Stage, parameter, register


@register("mosaic/gate", title="Mosaic (generator gate)", paper=Mosaic.paper, extension=True)
class GatedMosaic(Mosaic):
    """Mosaic with the teacher p(c|x) = Σ_k q(k|x)·p_k(c|x), p_k the client's own model, q a small network.

    q learns from images of the generators which of them made an image, each equally often, with augmentation, noise and
    smoothed labels against fingerprints; then log q gets the prior log n_k. Nothing beyond the generators is uploaded.

    EXTENSION: the paper fuses class-wise experts by a meta model trained on prototypes.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"label counts", "generators"})
    conformance_params: ClassVar[Mapping[str, object]] = {**Mosaic.conformance_params, "gate_steps": 10}

    slice_titles: ClassVar[Mapping[str, str]] = {
        key: "Mosaic (generator gate)" + each.removeprefix("Mosaic") for key, each in Mosaic.slice_titles.items()
    }

    class Params(Mosaic.Params):
        """Hyper-parameters of Mosaic with a gate."""

        gate_steps: int = parameter(200, unit="steps", source="ours", ge=0)
        gate_batch: int = parameter(64, unit="images", source="ours", ge=2)
        gate_lr: float = parameter(2e-3, unit="1", source="ours, Adam", gt=0)
        gate_noise: float = parameter(0.2, unit="of a pixel's deviation", source="ours", ge=0)
        gate_smoothing: float = parameter(0.1, unit="share of a label", source="ours", ge=0, lt=1)
        gate_temperature: float = parameter(1.0, unit="1", source="ours", gt=0)

    params: Any

    @classmethod
    def stages(cls, params: Any, rounds: int, cohort: int) -> Sequence[Stage]:
        """Everything before the teacher is Mosaic's."""
        return Mosaic.stages(params, rounds, cohort)

    def setup(self) -> None:
        """Make the gate beside everything else."""
        super().setup()
        self.gate = self.fed.module("gate", lambda: Gate(self.fed.task.channels, len(self.members))).eval()

    @property
    def prototype_source(self) -> None:
        """The teacher learns from no prototypes."""

    @property
    def teacher(self) -> nn.Module:
        """Images -> logits."""
        return GatedMembers(self.gate, self.members, self.counts.sum(1), self.params.gate_temperature)

    def make_teacher(self) -> None:
        """Train the gate."""
        params, clients = self.params, len(self.members)
        random, adam = self.fed.rng("gate"), torch.optim.Adam(self.gate.parameters(), lr=params.gate_lr)
        each = -(-params.gate_batch // clients)
        whose = torch.arange(clients, device=self.counts.device).repeat_interleave(each)
        self.gate.train()
        for _ in range(params.gate_steps):
            images = generated(self.fed, list(self.generators), [each] * clients, params.latent, random)
            images = self.fed.augmented(images, random)
            images = images + params.gate_noise * random.normal(*images.shape)
            with self.fed.autocast():
                loss = F.cross_entropy(self.gate(images).float(), whose, label_smoothing=params.gate_smoothing)
            descend(adam, loss)
        self.gate.eval()


class Gate(nn.Sequential):
    """Three strided convolutions and a mean: images (b, channels, H, W) -> logits (b, clients)."""

    def __init__(self, channels: int, clients: int, width: int = 16) -> None:
        layers: list[nn.Module] = []
        for source, target in ((channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(source, target, 3, 2, padding=1), nn.BatchNorm2d(target), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, clients))


class GatedMembers(nn.Module):
    """log Σ_k q(k|x)·p_k(c|x) with q ∝ n_k·softmax(gate(x) / T).

    Args:
        gate: images -> logits (b, K).
        members: K classifiers.
        samples: images of each client, (K,).
        temperature: T.
    """

    prior: Tensor

    def __init__(self, gate: nn.Module, members: nn.ModuleList, samples: Tensor, temperature: float) -> None:
        super().__init__()
        self.gate, self.members, self.temperature = gate, members, temperature
        self.register_buffer("prior", samples.double().log().float())

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, C) of images (b, ...)."""
        weights = F.softmax(self.gate(images).float() / self.temperature + self.prior, 1)
        return mixture(logits_of(self.members, images), weights.T)
