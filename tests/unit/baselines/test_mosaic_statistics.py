"""Class statistics: against scikit-learn, as sums over clients, and as a head in place of FedAvg's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from support import cell, do_steps, federation, separable, started

from baselines.class_statistics import KIND, DiscriminantHead, Moments
from baselines.feature_spaces import FeatureSpace
from baselines.fedavg import FedAvg
from baselines.fedavg_statistics import StatisticsFedAvg
from mosaic_bench.data import Split
from mosaic_bench.models import build

FEATURES = (
    torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    @ torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    + 3
)
LABELS = torch.arange(300) % 3
FEATURES[LABELS == 1] += 1.5
SKEWED = {"dirichlet": {"alpha": 0.3}}


def _head(moments: Moments, shrinkage: float = 1e-6) -> DiscriminantHead:
    head = DiscriminantHead(6, len(moments.counts))
    head.fit_(moments, shrinkage)
    return head


def test_it_is_linear_discriminant_analysis() -> None:
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(3, 1 / 3), covariance_estimator=None)
    reference.fit(FEATURES.double().numpy(), LABELS.numpy())
    ours = _head(Moments.of(FEATURES, LABELS, 3))(FEATURES).softmax(1)
    np.testing.assert_allclose(ours.numpy(), reference.predict_proba(FEATURES.numpy()), atol=2e-3)


def test_statistics_of_clients_add_up_to_those_of_everybody() -> None:
    parts = [Moments.of(FEATURES[part], LABELS[part], 3) for part in torch.arange(300).split([10, 200, 90])]
    together, whole = _head(Moments.added(parts)), _head(Moments.of(FEATURES, LABELS, 3))
    torch.testing.assert_close(together(FEATURES), whole(FEATURES), rtol=1e-3, atol=1e-3)


def test_a_class_without_images_is_never_predicted_and_nothing_is_infinite() -> None:
    head = _head(Moments.of(FEATURES, LABELS, 5))
    logits = head(FEATURES)
    assert bool(torch.isfinite(logits).all())
    assert int(logits.argmax(1).max()) == 2
    with pytest.raises(ValueError, match="no class statistics"):
        head.fit_(Moments.of(FEATURES[:0], LABELS[:0], 5), 0.1)


def test_classes_of_too_few_images_are_left_out() -> None:
    labels = LABELS.clone()
    labels[0] = 3
    moments = Moments.of(FEATURES, labels, 4, minimum=2)
    assert moments.counts.tolist() == [99, 100, 100, 0]
    assert float(moments.sums[3].abs().sum()) == 0
    torch.testing.assert_close(moments.sums.sum(0), FEATURES[1:].sum(0))


def test_block_features_are_all_resolutions_pooled() -> None:
    resnet = build("resnet8", channels=1, size=32, classes=10)
    x = torch.randn(2, 1, 32, 32)
    space = FeatureSpace(resnet, "blocks")
    with torch.no_grad():
        assert space(x).shape == (2, 16 + 32 + 64 + 4 * (32 + 64))
        torch.testing.assert_close(space(x)[:, 48:112], resnet.features(x))
        assert torch.equal(FeatureSpace(resnet, "last")(x), resnet.features(x))
        mlp = build("mlp", channels=1, size=8, classes=10)
        assert FeatureSpace(mlp, "blocks")(torch.randn(2, 1, 8, 8)).shape == (2, 200)
        with torch.autocast("cpu", torch.bfloat16):
            assert space(x).dtype == torch.float32


def _run(**params: object):
    fed = federation(cell(partition=SKEWED), separable(), reveals=StatisticsFedAvg.reveals)
    algorithm = started(StatisticsFedAvg, fed, **params)
    do_steps(algorithm, algorithm.steps)
    return algorithm


def test_the_control_is_fedavg_with_another_head_and_costs_its_statistics() -> None:
    algorithm, fedavg = _run(), started(FedAvg, federation(cell(partition=SKEWED)))
    do_steps(fedavg, 2)
    for name, tensor in fedavg.servers["cnn"].state_dict().items():
        assert torch.equal(tensor, algorithm.servers["cnn"].state_dict()[name])
    d = algorithm.servers["cnn"].feature_width
    moments, losses = 4 * 8 + 4 * 4 * d + 4 * d * (d + 1) // 2, 8 * 4
    assert algorithm.fed.ledger.up[KIND] == 3 * (moments + losses)


@pytest.mark.parametrize("space", ["last", "blocks", "random"])
def test_its_head_tells_easy_images_apart_whatever_the_clients_hold(space: str) -> None:
    algorithm, data = _run(space=space), separable()
    images = algorithm.fed.task.from_pixels(torch.from_numpy(data.test.images).permute(0, 3, 1, 2))
    with torch.no_grad():
        predicted = algorithm.predictors()["server"](images).argmax(1)
    assert float((predicted == torch.from_numpy(data.test.labels)).float().mean()) > 0.9


def _with_rare_class(images: int, train: int = 240, **params: object) -> StatisticsFedAvg:
    """FedAvg with class statistics, at its end, where all clients together hold so many images of class 3."""
    data = separable(train=train)
    kept = np.delete(np.arange(train), np.flatnonzero(data.train.labels == 3)[images:])
    rare = replace(data, train=Split(data.train.images[kept], data.train.labels[kept]))
    algorithm = started(StatisticsFedAvg, federation(cell(), rare, StatisticsFedAvg.reveals), **params)
    do_steps(algorithm, algorithm.steps)
    assert algorithm.head.described.tolist() == [True, True, True, False]
    return algorithm


def test_where_every_client_has_too_few_images_to_judge_the_head_stays_as_it_was_fitted() -> None:
    algorithm = _with_rare_class(0, train=24)
    assert bool(torch.isfinite(algorithm.head.weight).all())
    assert float(algorithm.head.bias[3]) == -100


def test_images_of_a_class_that_nobody_described_have_no_say_in_the_temperature() -> None:
    without, beside = _with_rare_class(0, minimum_count=13), _with_rare_class(12, minimum_count=13)
    assert torch.equal(without.head.bias[3], beside.head.bias[3])  # a constant over the temperature


def test_a_class_needs_an_image_to_be_described() -> None:
    with pytest.raises(ValidationError, match=r"minimum_count\n.*greater than or equal to 1"):
        StatisticsFedAvg.Params(minimum_count=0)
