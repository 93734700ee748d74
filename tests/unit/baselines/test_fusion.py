"""The data-free rounds (FedFTG, data-free FedDF, multi-round DENSE): common oracles, and FedFTG's losses."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import cell, do_steps, equal_states, federation, separable, started
from torch import nn

from baselines.blocks import distillation_loss, mixture
from baselines.dense_rounds import DenseRounds
from baselines.fedavg import FedAvg
from baselines.feddf_data_free import DataFreeFedDF
from baselines.fedftg import FedFTG
from baselines.fusion import DataFreeDistillation
from baselines.labels import class_weights
from mosaic_bench.api import Algorithm
from mosaic_bench.models import batch_norms
from mosaic_bench.suite.schema import TailSpec

CELL = cell(models={"arch": "resnet8", "width": 0.25}, partition={"dirichlet": {"alpha": 0.3}})
METHODS = [FedFTG, DataFreeFedDF, DenseRounds]
IDLE = {
    FedFTG: {"iterations": 0},
    DataFreeFedDF: {"generator_steps": 0, "student_steps": 0},
    DenseRounds: {"iterations": 0},
}


def _started(method: type[Algorithm], chosen: Any = CELL, **params: Any) -> Algorithm:
    return started(method, federation(chosen, reveals=method.reveals), **{**method.conformance_params, **params})


def _state(algorithm: Algorithm, attribute: str = "servers") -> dict[str, torch.Tensor]:
    module = getattr(algorithm, attribute)
    module = module["resnet8"] if isinstance(module, dict) else module
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("method", METHODS)
def test_without_steps_it_is_fedavg(method: type[Algorithm]) -> None:
    algorithm, fedavg = _started(method, **IDLE[method]), started(FedAvg, federation(CELL))
    do_steps(algorithm, 2)
    do_steps(fedavg, 2)
    assert equal_states(_state(algorithm), _state(fedavg))


@pytest.mark.parametrize("method", METHODS)
def test_generator_and_student_learn_and_the_generator_lives_on(method: type[Algorithm]) -> None:
    algorithm, fedavg = _started(method), started(FedAvg, federation(CELL))
    do_steps(fedavg, 1)
    generators = [_state(algorithm, "generator")]
    for t in range(2):
        algorithm.fed.begin(t)
        algorithm.step(t)
        generators.append(_state(algorithm, "generator"))
        if t == 0:
            assert not equal_states(_state(algorithm), _state(fedavg))
    steps = [int(state["layers.1.num_batches_tracked"]) for state in generators]
    assert steps[0] == 0
    assert steps[2] == 2 * steps[1] > 0
    assert not equal_states(generators[1], generators[2])


@pytest.mark.parametrize("method", METHODS)
def test_a_students_batch_statistics_move_or_stay_as_told(method: type[Algorithm]) -> None:
    fedavg = started(FedAvg, federation(CELL))
    do_steps(fedavg, 1)
    average = _state(fedavg)
    heads = []
    for mode, stays in (("update", False), ("batch", True), ("keep", True)):
        algorithm = _started(method, batch_norm=mode)
        do_steps(algorithm, 1)
        state = _state(algorithm)
        statistics = [name for name in state if "running_" in name]
        assert statistics
        assert all(torch.equal(state[name], average[name]) for name in statistics) == stays
        heads.append(state["head.weight"])
        assert {layer.momentum for layer in batch_norms(algorithm.servers["resnet8"])} == {0.1}
    assert not torch.equal(heads[1], heads[2])  # one learned with the batch's statistics, the other with the average's


@pytest.mark.parametrize("method", METHODS)
def test_the_students_rate_follows_the_tail(method: type[Algorithm]) -> None:
    """With a factor of 0 in every round neither clients nor server move a parameter."""
    still = CELL.model_copy(update={"local": CELL.local.model_copy(update={"tail": TailSpec(rounds=2, factor=0.0)})})
    algorithm = _started(method, still)
    before = _state(algorithm)
    do_steps(algorithm, 1)
    assert all(torch.equal(value, before[name]) for name, value in algorithm.servers["resnet8"].named_parameters())


@pytest.mark.parametrize(("method", "kinds"), [(FedFTG, 1), (DataFreeFedDF, 1), (DenseRounds, 0)])
def test_label_counts_are_uploaded_once_per_client(method: type[Algorithm], kinds: int) -> None:
    algorithm = _started(method)
    do_steps(algorithm, 2)
    sent = {kind: size for kind, size in algorithm.fed.ledger.counts()["bytes_up"].items() if kind != "model"}
    assert sent == ({"label counts": 3 * 4 * 8} if kinds else {})


def test_counts_and_weights_are_those_of_the_cohort_only() -> None:
    chosen = cell(partition={"dirichlet": {"alpha": 0.3}}, federation={"clients": 3, "rounds": 2, "participation": 0.7})
    algorithm = _started(FedFTG, chosen)
    do_steps(algorithm, 1)
    assert sorted(algorithm.counts) == algorithm.fed.cohort(0)
    assert len(algorithm.counts) == 2


def test_teaching_with_teachers_that_equal_the_student_changes_nothing_in_eval_mode() -> None:
    algorithm = _started(FedFTG)
    student = algorithm.servers["resnet8"]
    before = _state(algorithm)
    sgd = torch.optim.SGD(student.parameters(), lr=0.1)
    game = DataFreeDistillation(algorithm.fed, algorithm.generator, sgd, [student], [sgd], "keep")
    teacher = algorithm.fed.model().eval()
    images = game.images(torch.randn(8, 8), torch.arange(8) % 4)
    game.teach(images, lambda images: mixture(teacher(images).expand(3, -1, -1)), steps=3)
    for name, tensor in student.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-6)


class Fixed(nn.Module):
    """Gives its own logits (b, C), whatever the images."""

    def __init__(self, *logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


LABELS = torch.tensor([0, 1])
ALPHA = class_weights(torch.tensor([[5, 0], [0, 7]]))[:, LABELS]


def test_each_teacher_is_heard_only_on_images_of_classes_it_holds() -> None:
    teachers = [Fixed([0.3, -0.2], [0.1, 0.4]), Fixed([-0.5, 0.2], [0.9, 0.0])]
    student = Fixed([0.0, 1.0], [1.0, 0.0])
    loss = _started(FedFTG)._adversarial(torch.empty(0), LABELS, ALPHA, [student], teachers)
    loss.backward()
    for own, teacher in enumerate(teachers):
        rows = teacher.logits.grad.abs().sum(1)
        assert rows[own] > 0
        assert rows[1 - own] == 0
    cls = sum(F.cross_entropy(teachers[k].logits[k : k + 1], LABELS[k : k + 1]) for k in range(2)) / 2
    md = sum(distillation_loss(student.logits[k : k + 1], teachers[k].logits[k : k + 1]) for k in range(2)) / 2
    torch.testing.assert_close(loss, cls - md)


def test_teachers_that_equal_the_student_leave_no_discrepancy() -> None:
    model = Fixed([0.3, -0.2], [0.1, 0.4])
    for discrepancy in ("kl", "l1"):
        algorithm = _started(FedFTG, discrepancy=discrepancy, cls_weight=0.0)
        loss = algorithm._adversarial(torch.empty(0), LABELS, torch.ones(1, 2), [model], [model])
        assert float(loss.detach()) == pytest.approx(0, abs=1e-7)


def test_with_one_teacher_the_students_loss_is_plain_distillation() -> None:
    student, teacher = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    alpha = class_weights(torch.tensor([[3, 1, 9]]))[:, torch.tensor([0, 1, 2, 2, 1, 0])]
    torch.testing.assert_close(
        distillation_loss(student, mixture(teacher[None], alpha)), distillation_loss(student, teacher)
    )


def test_the_published_l1_gap_moves_the_student_side_only() -> None:
    teacher, student = Fixed([1.0, -1.0]), Fixed([0.0, 0.0])
    algorithm = _started(FedFTG, discrepancy="l1", cls_weight=0.0)
    loss = algorithm._adversarial(torch.empty(0), LABELS[:1], torch.ones(1, 1), [student], [teacher])
    loss.backward()
    assert float(loss.detach()) == -1
    assert float(teacher.logits.grad.abs().sum()) == 0
    assert float(student.logits.grad.abs().sum()) > 0


def test_published_weights_are_means_over_the_batch() -> None:
    teachers = [Fixed([0.3, -0.2], [0.1, 0.4]), Fixed([-0.5, 0.2], [0.9, 0.0])]
    algorithm = _started(FedFTG, class_weighting="batch", md_weight=0.0)
    loss = algorithm._adversarial(torch.empty(0), LABELS, ALPHA, [teachers[0]], teachers)
    torch.testing.assert_close(loss, sum(0.5 * F.cross_entropy(teacher.logits, LABELS) for teacher in teachers))


def test_the_generator_takes_one_step_on_the_sum_or_one_per_client() -> None:
    steps = {}
    for mode in ("joint", "per_client"):
        algorithm = _started(FedFTG, generator_step=mode, iterations=2, generator_steps=3)
        do_steps(algorithm, 1)
        steps[mode] = int(algorithm.generator.state_dict()["layers.1.num_batches_tracked"])
    assert steps == {"joint": 2 * 3, "per_client": 2 * 3 * 3}


def test_dense_without_batch_norm_says_that_the_statistics_term_does_nothing() -> None:
    servers = []
    for weight in (0.0, 5.0):
        fed = federation(cell(), separable())
        if weight:
            with pytest.warns(UserWarning, match="no client model has BatchNorm"):
                algorithm = started(DenseRounds, fed, **DenseRounds.conformance_params, bn_weight=weight)
        else:
            algorithm = started(DenseRounds, fed, **DenseRounds.conformance_params, bn_weight=weight)
        do_steps(algorithm, 1)
        servers.append(algorithm.servers["cnn"].state_dict())
    assert equal_states(*servers)
