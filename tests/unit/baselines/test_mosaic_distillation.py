"""Stage 4: the divergences, the student's loss, and what a pool is made of."""

from itertools import islice
from math import log

import pytest
import torch
import torch.nn.functional as F
from support import cell, federation

from baselines.blocks import bhattacharyya, jensen_shannon
from baselines.pool_distillation import DistillationSettings, distil_epoch, pool_batches, shares, student_loss

S, T = torch.randn(2, 50, 10, generator=torch.Generator().manual_seed(0)) * 4
OPPOSITE = torch.tensor([[80.0, 0.0]]), torch.tensor([[0.0, 80.0]])


def test_the_published_divergence_is_the_bhattacharyya_distance() -> None:
    p, q = S.softmax(1), T.softmax(1)
    torch.testing.assert_close(bhattacharyya(S, T), -(p * q).sqrt().sum(1).log().mean(), rtol=0, atol=1e-6)
    torch.testing.assert_close(bhattacharyya(S, T), bhattacharyya(T, S))
    assert float(bhattacharyya(S, S)) == pytest.approx(0, abs=1e-6)
    assert float(bhattacharyya(*OPPOSITE)) > 10  # no bound
    middle = F.log_softmax((S + T) / 2, 1)  # the mid-point of logits, with the arguments swapped
    published = (middle.exp() * (2 * middle - F.log_softmax(S, 1) - F.log_softmax(T, 1))).sum(1).mean() / 2
    torch.testing.assert_close(bhattacharyya(S, T), published, rtol=1e-5, atol=1e-5)


def test_the_true_jensen_shannon_divergence_is_bounded() -> None:
    p, q = S.softmax(1), T.softmax(1)
    m = (p + q) / 2
    expected = ((p * (p / m).log() + q * (q / m).log()).sum(1) / 2).mean()
    torch.testing.assert_close(jensen_shannon(S, T), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(jensen_shannon(S, T), jensen_shannon(T, S))
    assert float(jensen_shannon(S, S)) == pytest.approx(0, abs=1e-6)
    assert float(jensen_shannon(*OPPOSITE)) == pytest.approx(log(2), abs=1e-6)
    assert 0 < float(jensen_shannon(S, T)) < log(2)


@pytest.mark.parametrize("js", ["jensen-shannon", "bhattacharyya"])
def test_a_student_that_equals_its_teacher_has_only_the_cross_entropy_left(js: str) -> None:
    loss = student_loss(S, S, DistillationSettings(js=js))
    torch.testing.assert_close(loss, 0.2 * F.cross_entropy(S, S.argmax(1)), rtol=0, atol=1e-5)


def test_generators_make_shares_that_sum_to_the_pool() -> None:
    assert shares([300, 100, 0], 40, "samples") == [30, 10, 0]
    assert shares([300, 100, 7], 41, "uniform") == [13, 14, 14]
    assert sum(shares([3, 5, 11], 2000, "samples")) == 2000


def test_balanced_batches_draw_classes_evenly_and_others_use_every_image_once() -> None:
    random, classes = federation(cell()).rng("pool test"), torch.tensor([0] * 90 + [2] * 10)
    drawn = torch.cat(list(islice(pool_batches(classes, 100, True, random), 100)))
    assert float((classes[drawn] == 2).float().mean()) == pytest.approx(0.5, abs=0.02)
    once = torch.cat(list(islice(pool_batches(classes, 25, False, random), 4)))
    assert once.sort().values.tolist() == list(range(100))


@pytest.mark.parametrize(("batch_norm", "stays"), [("keep", True), ("update", False)])
def test_students_learn_from_the_same_images_and_only_they_change(batch_norm: str, stays: bool) -> None:
    fed = federation(cell(models={"arch": ["resnet8", "cnn"], "width": 0.25}))
    students, teacher = list(fed.models().values()), fed.model("resnet20").eval()
    before = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in [*students, teacher]]
    learners = [torch.optim.Adam(student.parameters()) for student in students]
    settings = DistillationSettings(kd_epochs=2, kd_steps=3, kd_batch=8, batch_norm=batch_norm)
    pool = torch.randn(20, 1, 12, 12)
    distil_epoch(fed, pool, teacher, students, learners, settings, 0, fed.rng("distillation test"))
    assert all(torch.equal(tensor, before[2][name]) for name, tensor in teacher.state_dict().items())
    for student, old in zip(students, before[:2], strict=True):
        state = student.state_dict()
        assert not torch.equal(state["head.weight"], old["head.weight"])
        statistics = [torch.equal(state[name], old[name]) for name in state if "running" in name]
        assert statistics
        assert all(same == stays for same in statistics)


def test_the_rate_falls_as_a_cosine_over_all_epochs() -> None:
    fed = federation(cell())
    student, rates = fed.model(), []
    sgd = torch.optim.SGD(student.parameters(), lr=1.0)
    settings = DistillationSettings(kd_epochs=2, kd_steps=2, kd_batch=4, kd_lr=0.1)
    for epoch in range(2):
        distil_epoch(fed, torch.randn(8, 1, 12, 12), student, [student], [sgd], settings, epoch, fed.rng("rate", epoch))
        rates.append(sgd.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1 * (1 + 2**-0.5) / 2, 0.1 * (1 - 2**-0.5) / 2])
