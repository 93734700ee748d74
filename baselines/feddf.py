"""FedDF: ensemble distillation for model fusion (Lin et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from baselines.blocks import descend, distillation_loss, logits_of, mixture
from baselines.fusion import BatchNormMode, FusionRounds, learning
from baselines.labels import shuffled_positions
from mosaic_bench.api import Hyperparameters, Unsupported, parameter, register
from mosaic_bench.models import Classifier


@register("feddf", title="FedDF", paper="Lin et al., NeurIPS 2020")
class FedDF(FusionRounds):
    """The average of each architecture learns from the ensemble of all received models on unlabelled public images.

    Every ``check_every`` steps and after the last one the student is judged on the server's labelled validation images;
    the best one so far is kept, the average itself among the candidates, and training ends when the best one is
    ``patience`` steps old.
    Without a validation split a student learns for ``max_steps`` steps and the last one is kept.

    DEVIATION: the average weighs clients by their sample counts (published code: equal weights, to be had by the
    suite's ``federation.weighting: uniform``) and includes BatchNorm statistics (published: the last client's).

    DEVIATION: the average is a candidate (published default: not, ``average_competes: false``), and teachers stay in
    eval mode (published: validating a teacher leaves it in train mode).

    DEVIATION: the published option of averaging the losses of single teachers is not offered, because its gradient is
    that of ``ensemble: probabilities``.

    DEVIATION: public images are normalised like the clients' images (published: with the public set's own statistics),
    and augmented as local training is.
    """

    reveals: ClassVar[frozenset[str]] = frozenset({"public images", "validation labels"})
    conformance_params: ClassVar[Mapping[str, object]] = {"max_steps": 8, "check_every": 4, "patience": 8}

    class Params(Hyperparameters):
        """Hyper-parameters of FedDF."""

        max_steps: int = parameter(10_000, unit="steps per round", source="paper", ge=0)
        check_every: int = parameter(100, unit="steps", source="published code", ge=1)
        patience: int = parameter(1000, unit="steps", source="paper", ge=1)
        batch: int = parameter(128, unit="images", source="paper; published code: the clients' batch, 64", ge=2)
        lr: float = parameter(1e-3, unit="1", source="paper, Adam with cosine annealing over max_steps", ge=0)
        clip: float | None = parameter(5.0, unit="gradient norm", source="published code", gt=0)
        temperature: float = parameter(1.0, unit="1", source="published code", gt=0)
        average_competes: bool = parameter(True, unit="yes or no", source="published code, an option")
        ensemble: Literal["logits", "probabilities"] = parameter("logits", unit="mean of", source="paper, AvgLogits")
        batch_norm: BatchNormMode = parameter("update", unit="mode", source="published code")

    params: Params

    def fuse(self, t: int, students: list[Classifier], teachers: list[Classifier]) -> None:
        """Distil the cohort's ensemble into every architecture's average."""
        for student in students:
            self._distil(t, student, teachers)

    def _distil(self, t: int, student: Classifier, teachers: list[Classifier]) -> None:
        params, public = self.params, self.fed.public
        adam = torch.optim.Adam(student.parameters(), lr=params.lr * self.fed.lr_factor(t))
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, params.max_steps))
        random = self.fed.rng("public batches", t)
        batches = shuffled_positions(len(public), params.batch, random)
        best_accuracy, best_step, best = self._validated(student), 0, _copy(student)
        if best_accuracy is not None and not params.average_competes:
            best_accuracy = -1.0
        with learning(student, params.batch_norm):
            for step in range(1, params.max_steps + 1):
                images = self.fed.augmented(public.images(next(batches)), random)
                with self.fed.autocast():
                    with torch.no_grad():
                        target = self._ensemble(teachers, images)
                    loss = distillation_loss(student(images).float(), target, params.temperature)
                descend(adam, loss, params.clip)
                cosine.step()
                if best_accuracy is None or (step % params.check_every and step < params.max_steps):
                    continue
                accuracy = self._validated(student)  # the only wait for the device
                if accuracy is not None and accuracy > best_accuracy:
                    best_accuracy, best_step, best = accuracy, step, _copy(student)
                elif step - best_step >= params.patience:
                    break
        if best_accuracy is not None:
            student.load_state_dict(best)

    def _ensemble(self, teachers: list[Classifier], images: Tensor) -> Tensor:
        """Logits of the ensemble, (b, classes)."""
        logits = logits_of(teachers, images)
        return logits.mean(0) if self.params.ensemble == "logits" else mixture(logits)

    def _validated(self, student: Classifier) -> float | None:
        """Accuracy on the validation images; None where the suite holds none back."""
        try:
            return self.fed.validation_accuracy(student)
        except Unsupported:
            return None


def _copy(model: Classifier) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
