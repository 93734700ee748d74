"""Every architecture: shapes for every kind of input, published parameter counts, norms, registration."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from mosaic_bench.errors import UserError
from mosaic_bench.models import ARCHITECTURES, Blueprint, Classifier, build, linear, register_architecture

ZOO = sorted(ARCHITECTURES)
SIZES = ((8, 3), (15, 1), (28, 1), (64, 3))


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("arch", ZOO)
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_every_architecture_takes_every_image(arch, norm, size, channels):
    model = build(arch, channels=channels, size=size, classes=7, width=1 / 8, norm=norm).eval()
    images = torch.randn(2, channels, size, size)
    with torch.inference_mode():
        features, logits = model.features(images), model(images)
        assert torch.equal(model.head(features), logits)
    assert features.shape == (2, model.feature_width)
    assert logits.shape == (2, 7) == (2, model.classes)


@pytest.mark.parametrize(
    ("arch", "count"),
    [
        ("resnet8", 78_042),
        ("resnet20", 272_474),
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("resnet50", 23_520_842),
        ("convnet4", 1_558_026),
        ("mobilenet", 2_236_682),
    ],
)
def test_parameters_at_ten_classes(arch, count):
    assert parameters(build(arch, channels=3, size=32, classes=10)) == count


def torchvision_twin(arch: str) -> nn.Module:
    """torchvision's network with the strides for small images; its state lists the same tensors in the same order."""
    from torchvision import models

    if arch == "mobilenet":
        twin = models.mobilenet_v2(num_classes=10)
        twin.features[0][0].stride = twin.features[2].conv[1][0].stride = (1, 1)
        return twin
    twin = getattr(models, arch)(num_classes=10)
    twin.conv1, twin.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return twin


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50", "mobilenet"])
def test_it_computes_what_torchvisions_network_does(arch):
    model, twin = build(arch, channels=3, size=16, classes=10), torchvision_twin(arch)
    twin.load_state_dict(dict(zip(twin.state_dict(), model.state_dict().values(), strict=True)))
    images = torch.randn(4, 3, 16, 16)
    for layer in twin.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    with torch.no_grad():  # batch statistics keep the signal's scale
        torch.testing.assert_close(model(images), twin(images), atol=1e-4, rtol=1e-4)


def test_resnet18_at_a_hundred_classes():
    assert parameters(build("resnet18", channels=3, size=32, classes=100)) == 11_220_132


@pytest.mark.parametrize(("arch", "count"), [("cnn", 1_663_370), ("mlp", 199_210)])
def test_fedavg_networks_without_norm_are_the_published_ones(arch, count):
    assert parameters(build(arch, channels=1, size=28, classes=10, norm="none")) == count


@pytest.mark.parametrize(
    ("arch", "counts"),
    [
        ("resnet18", (11_173_962, 2_797_610, 701_466, 176_402, 44_622)),
        ("convnet4", (1_558_026, 391_946, 99_210, 25_418, 6_666)),
    ],
)
def test_parameters_at_halved_widths(arch, counts):
    for halvings, count in enumerate(counts):
        assert parameters(build(arch, channels=3, size=32, classes=10, width=0.5**halvings)) == count


def test_state_bytes_of_resnet18():
    state = build("resnet18", channels=3, size=32, classes=10).state_dict()
    assert sum(tensor.nbytes for tensor in state.values()) == 44_734_408


@pytest.mark.parametrize("arch", ZOO)
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_logits_do_not_depend_on_batch_companions(arch, norm):
    model = build(arch, channels=3, size=8, classes=4, width=1 / 4, norm=norm)
    model(torch.randn(16, 3, 8, 8))  # moves the running statistics off their start
    image, model = torch.randn(1, 3, 8, 8), model.eval()
    with torch.inference_mode():
        alone, among = model(image), model(torch.cat([image, 5 * torch.randn(9, 3, 8, 8)]))
    torch.testing.assert_close(alone[0], among[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arch", ZOO)
def test_norm_is_the_one_asked_for(arch):
    kinds = {
        norm: {type(layer) for layer in build(arch, channels=1, size=8, classes=2, width=1 / 8, norm=norm).modules()}
        for norm in ("batch", "group", "none")
    }
    batch = {nn.BatchNorm1d, nn.BatchNorm2d}
    assert kinds["batch"] & batch
    assert nn.GroupNorm in kinds["group"]
    assert not kinds["group"] & batch
    assert not kinds["none"] & (batch | {nn.GroupNorm})


@pytest.mark.parametrize("arch", ZOO)
def test_one_seed_gives_one_model(arch):
    def state():
        torch.manual_seed(3)
        return build(arch, channels=1, size=8, classes=2, width=1 / 8).state_dict()

    first, second = state(), state()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_mlp_takes_points_in_the_plane():
    model = build("mlp", channels=2, size=1, classes=3)
    assert model(torch.randn(5, 2)).shape == (5, 3)


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown architecture 'mobilnet'; did you mean 'mobilenet'\?"):
        build("mobilnet", channels=3, size=32, classes=10)


@pytest.mark.parametrize("wrong", [{"width": 0.0}, {"width": 1.5}, {"classes": 0}, {"norm": "layer"}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UserError):
        build("cnn", **{"channels": 3, "size": 8, "classes": 2, **wrong})


@pytest.fixture
def registered_probe():
    """A user's own architecture, for the length of one test."""

    @register_architecture("probe")
    def probe(blueprint: Blueprint) -> Classifier:
        hidden = blueprint.group("hidden", 6)
        pixels = blueprint.image.flattened(blueprint.size**2)
        return Classifier(nn.Sequential(nn.Flatten(), linear(pixels, hidden)), linear(hidden, blueprint.logits))

    yield probe
    del ARCHITECTURES["probe"]


def test_own_architectures_take_part(registered_probe):
    assert build("probe", channels=1, size=2, classes=3, width=0.5).feature_width == 3


def test_a_name_is_registered_once(registered_probe):
    with pytest.raises(UserError, match="'probe' is registered twice"):
        register_architecture("probe")(registered_probe)


def test_importing_the_models_leaves_torchvision_alone():
    code = "import sys, mosaic_bench.models; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
