"""FedDF's oracles: what distillation leaves alone, which student is returned, and one student per architecture."""

from typing import Any

import pytest
import torch
from support import cell, do_steps, equal_states, federation, separable, started

from baselines.blocks import distillation_loss, freeze_
from baselines.fedavg import FedAvg
from baselines.feddf import FedDF
from mosaic_bench.api import Algorithm, Unsupported

RESNET = {"arch": "resnet8", "width": 0.25}
SERVER_DATA = {"validation": 0.1, "public": {"from": "train", "fraction": 0.2}}
QUICK = {"max_steps": 8, "check_every": 2, "patience": 4, "batch": 16}


def _feddf(validation: float = 0.1, models: Any = RESNET, method: type[FedDF] = FedDF, **params: Any) -> Algorithm:
    held = {"clients": 3, "rounds": 2, **SERVER_DATA, "validation": validation}
    chosen = cell(models=models, federation=held)
    return started(method, federation(chosen, reveals=FedDF.reveals), **{**QUICK, **params})


def _average(models: Any = RESNET, validation: float = 0.1) -> dict[str, torch.Tensor]:
    """FedAvg's model after one round in the same federation."""
    held = {"clients": 3, "rounds": 2, **SERVER_DATA, "validation": validation}
    algorithm = started(FedAvg, federation(cell(models=models, federation=held)))
    do_steps(algorithm, 1)
    return algorithm.servers["resnet8"].state_dict()


@pytest.mark.parametrize("ensemble", ["logits", "probabilities"])
def test_teachers_that_equal_the_student_teach_nothing_in_eval_mode(ensemble: str) -> None:
    algorithm = _feddf(ensemble=ensemble)
    student = algorithm.servers["resnet8"]
    teachers = [algorithm.fed.model() for _ in range(3)]
    for teacher in teachers:
        freeze_(teacher)
    images = algorithm.fed.public.images(slice(16))
    losses = {}
    for training in (False, True):
        student.train(training).zero_grad()
        loss = distillation_loss(student(images), algorithm._ensemble(teachers, images))
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in student.parameters() if p.grad is not None])
        losses[training] = float(loss.detach()), float(norm)
    assert losses[False] == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-5))
    assert losses[True][0] > 1e-3  # batch statistics are not running statistics


def test_the_order_of_clients_does_not_matter_to_the_ensemble() -> None:
    algorithm = _feddf()
    updates = algorithm.fed.train(algorithm.fed.broadcast(algorithm.servers, [0, 1, 2])).keep()
    teachers = [update.model() for update in updates]
    images = algorithm.fed.public.images(slice(16))
    with torch.no_grad():
        torch.testing.assert_close(
            algorithm._ensemble(teachers, images), algorithm._ensemble(teachers[::-1], images), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("validation", [0.0, 0.1])
@pytest.mark.parametrize("nothing", [{"lr": 0.0, "batch_norm": "keep"}, {"max_steps": 0}])
def test_a_student_that_learns_nothing_is_fedavgs_average(validation: float, nothing: dict[str, Any]) -> None:
    algorithm = _feddf(validation, **nothing)
    do_steps(algorithm, 1)
    assert equal_states(algorithm.servers["resnet8"].state_dict(), _average(validation=validation))


def test_a_student_that_only_gets_worse_is_dropped_for_the_average() -> None:
    algorithm = _feddf(lr=10.0, clip=None)
    do_steps(algorithm, 1)
    assert equal_states(algorithm.servers["resnet8"].state_dict(), _average())


def test_batch_mode_learns_with_the_averages_statistics_left_alone() -> None:
    algorithm = _feddf(validation=0.0, batch_norm="batch")
    do_steps(algorithm, 1)
    state, average = algorithm.servers["resnet8"].state_dict(), _average(validation=0.0)
    assert all(torch.equal(state[name], average[name]) for name in state if "running_" in name)
    assert not torch.equal(state["head.weight"], average["head.weight"])


def test_as_published_the_average_does_not_compete() -> None:
    algorithm = _feddf(lr=10.0, clip=None, average_competes=False)
    do_steps(algorithm, 1)
    assert not equal_states(algorithm.servers["resnet8"].state_dict(), _average())


def test_the_last_student_is_judged_however_rarely_students_are() -> None:
    algorithm = _feddf(max_steps=3, check_every=100, average_competes=False)
    do_steps(algorithm, 1)
    assert not equal_states(algorithm.servers["resnet8"].state_dict(), _average())


@pytest.mark.parametrize("ensemble", ["logits", "probabilities"])
def test_with_one_teacher_the_loss_is_plain_distillation(ensemble: str) -> None:
    algorithm = _feddf(ensemble=ensemble)
    teacher, images = algorithm.fed.model().eval(), algorithm.fed.public.images(slice(16))
    student = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            distillation_loss(student, algorithm._ensemble([teacher], images)),
            distillation_loss(student, teacher(images)),
        )


def test_the_returned_student_is_at_least_as_good_on_validation_images_as_the_average() -> None:
    held = {"clients": 3, "rounds": 2, **SERVER_DATA}
    chosen = cell(models=RESNET, federation=held, local={"steps": 8, "batch": 16, "lr": 0.05, "momentum": 0.9})
    accuracies = []
    for steps in (0, 40):
        algorithm = started(
            FedDF, federation(chosen, reveals=FedDF.reveals), **{**QUICK, "patience": 40, "max_steps": steps}
        )
        do_steps(algorithm, 1)
        accuracies.append(algorithm.fed.validation_accuracy(algorithm.servers["resnet8"]))
    assert accuracies[1] > accuracies[0]


class Counting(FedDF):
    """Counts how often a student is judged."""

    def setup(self) -> None:
        super().setup()
        self.judged = 0

    def _validated(self, student: Any) -> float | None:
        self.judged += 1
        return super()._validated(student)


def test_training_ends_when_the_best_student_is_patience_steps_old() -> None:
    algorithm = _feddf(method=Counting, lr=0.0, batch_norm="keep", max_steps=1000, check_every=2, patience=6)
    do_steps(algorithm, 1)
    assert algorithm.judged == 1 + 6 // 2


def test_without_a_validation_split_the_last_student_is_kept() -> None:
    algorithm = _feddf(validation=0.0)
    do_steps(algorithm, 1)
    assert not equal_states(algorithm.servers["resnet8"].state_dict(), _average(validation=0.0))


def test_without_public_images_it_is_unsupported() -> None:
    algorithm = started(FedDF, federation(cell(), reveals=FedDF.reveals))
    with pytest.raises(Unsupported, match="public images"):
        do_steps(algorithm, 1)


def test_every_architecture_has_a_student_and_one_without_active_clients_keeps_its_model() -> None:
    chosen = cell(
        models={"arch": ["cnn", "resnet8"], "width": 0.25, "assign": [0, 1, 0]},
        federation={"clients": 3, "rounds": 4, "participation": 0.34, **SERVER_DATA},
    )
    algorithm = started(FedDF, federation(chosen, separable(), FedDF.reveals), **QUICK)
    for t in range(4):
        before = {a: {n: x.clone() for n, x in m.state_dict().items()} for a, m in algorithm.servers.items()}
        algorithm.fed.begin(t)
        algorithm.step(t)
        [client] = algorithm.fed.cohort(t)
        active = ["cnn", "resnet8", "cnn"][client]
        assert {arch: equal_states(model.state_dict(), before[arch]) for arch, model in algorithm.servers.items()} == {
            "cnn": active != "cnn",
            "resnet8": active != "resnet8",
        }
    assert len({client for t in range(4) for client in algorithm.fed.cohort(t)}) > 1
