"""GroupNorm's groups and the re-estimation of running statistics."""

import pytest
import torch
from torch import nn

from mosaic_bench.models import batch_norms, build, recalibrate_
from mosaic_bench.models.norm import group_count


def test_groups_divide_every_width():
    assert all(channels % group_count(channels) == 0 for channels in range(1, 1025))
    assert [group_count(channels) for channels in (64, 32, 16, 4, 2, 1)] == [8, 8, 4, 1, 1, 1]


@pytest.fixture
def images():
    return 3 + 2 * torch.randn(30, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_statistics_are_those_of_all_images(images):
    model = build("convnet4", channels=3, size=8, classes=2, width=1 / 16)
    recalibrate_(model, images.split(10))
    maps = model.body[0](images)
    first = batch_norms(model)[0]
    torch.testing.assert_close(first.running_mean, maps.mean((0, 2, 3)), atol=1e-5, rtol=1e-5)
    variances = torch.stack([part.var((0, 2, 3)) for part in maps.split(10)]).mean(0)
    torch.testing.assert_close(first.running_var, variances, atol=1e-5, rtol=1e-5)


def test_small_last_batches_weigh_by_their_images(images):
    model = build("convnet4", channels=3, size=8, classes=2, width=1 / 16)
    recalibrate_(model, images.split(16))
    torch.testing.assert_close(batch_norms(model)[0].running_mean, model.body[0](images).mean((0, 2, 3)))


def test_earlier_statistics_leave_no_trace(images):
    model = build("resnet8", channels=3, size=8, classes=2)
    recalibrate_(model, [images])
    expected = [layer.running_var.clone() for layer in batch_norms(model)]
    for layer in batch_norms(model):
        layer.running_mean.fill_(50)
        layer.running_var.fill_(50)
    recalibrate_(model, [images])
    assert all(torch.equal(layer.running_var, var) for layer, var in zip(batch_norms(model), expected, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_nothing_else_changes(images, training):
    model = build("mobilenet", channels=3, size=8, classes=2, width=1 / 8)
    model(images)
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recalibrate_(model, images.split(10))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.rsplit(".")[-1] for name in changed} == {"running_mean", "running_var"}
    assert model.state_dict().keys() == before.keys()
    assert all(module.training == training for module in model.modules())
    assert {layer.momentum for layer in batch_norms(model)} == {0.1}


def test_recalibration_ignores_autocast(images):
    plain, cast = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)) for _ in range(2))
    cast.load_state_dict(plain.state_dict())
    recalibrate_(plain, [images])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        recalibrate_(cast, [images.to(torch.bfloat16).float()])
        recalibrate_(cast, [images])
    assert torch.equal(cast[1].running_mean, plain[1].running_mean)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no images"):
        recalibrate_(build("resnet8", channels=3, size=8, classes=2), [])
