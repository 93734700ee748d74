"""Width slices of every architecture, in all three modes."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from mosaic_bench.errors import UserError
from mosaic_bench.models import ARCHITECTURES, Channels, Classifier, Slice, build, declare_axes, linear, width_ratios

ZOO = sorted(ARCHITECTURES)
MODES = ("static", "rolling", "random")
FULL = 1 / 4  # the "full" models of this file, so that they are quick
SHAPE = {"channels": 3, "size": 8, "classes": 5}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(arch: str, norm: str = "batch") -> Classifier:
    """A float64 model whose norms are far from their initial values."""
    torch.manual_seed(0)
    model = build(arch, width=FULL, norm=norm, **SHAPE).double().eval()
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arch", ZOO)
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_narrow_state_is_that_of_the_narrow_model(arch, norm, mode):
    model = trained(arch, norm)
    narrow = build(arch, width=FULL / 2, norm=norm, **SHAPE).double()
    state = Slice.draw(model, 0.5, mode, 3, generator()).take(model.state_dict())
    narrow.load_state_dict(state)
    assert sum(t.nbytes for t in state.values()) == sum(t.nbytes for t in narrow.state_dict().values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arch", ZOO)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_slice_computes_what_the_full_model_does_without_the_other_channels(arch, norm, mode):
    model, images = trained(arch, norm), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    cut = Slice.draw(model, 0.3, mode, 2, generator())
    narrow = build(arch, width=FULL * 0.3, norm=norm, **SHAPE).double().eval()
    narrow.load_state_dict(cut.take(model.state_dict()))
    for name, parameter in model.named_parameters():
        zeroed = torch.zeros_like(parameter)
        zeroed[cut.indices(name)] = parameter.detach()[cut.indices(name)]
        parameter.data = zeroed
    with torch.inference_mode():
        full, features = model(images), model.features(images)
        torch.testing.assert_close(narrow(images), full, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(narrow.features(images), features[:, cut.feature_index], atol=1e-5, rtol=1e-5)
    assert full.std() > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arch", ZOO)
def test_ratio_one_is_the_identity(arch, mode):
    model = trained(arch)
    state, cut = model.state_dict(), Slice.draw(model, 1.0, mode, 5, generator())
    assert cut.is_whole
    assert all(torch.equal(tensor, state[name]) for name, tensor in cut.take(state).items())
    assert cut.feature_index.tolist() == list(range(model.feature_width))


@pytest.mark.parametrize("arch", ZOO)
def test_images_and_logits_are_never_cut(arch):
    model = trained(arch)
    state = Slice.draw(model, 0.5, "random", 0, generator()).take(model.state_dict())
    name, first = next(iter(model.named_parameters()))
    assert state[name].shape[1] == first.shape[1]
    assert len(state["head.weight"]) == len(state["head.bias"]) == model.classes


@pytest.mark.parametrize("arch", ZOO)
@pytest.mark.parametrize("mode", MODES)
def test_all_groups_keep_the_ceiling_of_their_share(arch, mode):
    model = build(arch, width=FULL, **SHAPE)
    full = Slice.draw(model, 1 - 1e-6, "static", 0).kept
    for group, kept in Slice.draw(model, 0.3, mode, 1, generator()).kept.items():
        assert len(kept) == len(set(kept.tolist())) == -(-3 * len(full[group]) // 10)


def test_parameters_and_bytes_of_resnet18_slices():
    model = build("resnet18", channels=3, size=32, classes=10)
    names = dict(model.named_parameters())
    table = {
        1 / 2: (2_797_610, 11_209_800),
        1 / 4: (701_466, 2_815_624),
        1 / 8: (176_402, 710_568),
        1 / 16: (44_622, 181_048),
    }
    for ratio, (parameters, size) in table.items():
        state = Slice.draw(model, ratio, "static", 0).take(model.state_dict())
        assert sum(tensor.numel() for name, tensor in state.items() if name in names) == parameters
        assert sum(tensor.nbytes for tensor in state.values()) == size


def test_static_keeps_the_first_channels_as_views():
    model = trained("resnet8")
    state = model.state_dict()
    cut = Slice.draw(model, 0.5, "static", 9)
    assert cut.kept["stem"].tolist() == [0, 1]
    narrow = cut.take(state)["head.weight"]
    assert narrow.data_ptr() == state["head.weight"].data_ptr()


def test_rolling_covers_each_channel_equally_in_a_cycle():
    model = build("mlp", **SHAPE)  # two groups of 200 channels
    covered = torch.zeros(200, dtype=torch.int64)
    for t in range(200):
        covered[Slice.draw(model, 0.3, "rolling", t).kept["hidden1"]] += 1
    assert covered.eq(60).all()


def test_rolling_windows_repeat_after_a_cycle_and_move_by_one():
    model = build("mlp", **SHAPE)
    windows = [Slice.draw(model, 0.3, "rolling", t).kept["hidden1"].tolist() for t in (7, 8, 207)]
    assert windows[0] == windows[2] == [(j - 7) % 200 for j in range(60)]
    assert set(windows[0]) ^ set(windows[1]) == {192, (59 - 7) % 200}


@pytest.mark.parametrize("t", [0, 3, 11])
def test_rolling_windows_of_a_step_nest(t):
    model = build("resnet8", **SHAPE)
    wide, narrow = (Slice.draw(model, ratio, "rolling", t).kept for ratio in (0.5, 0.25))
    assert all(set(narrow[group].tolist()) <= set(wide[group].tolist()) for group in wide)


def kept_along(model: Classifier, cut: Slice, name: str, axis: int) -> list[int]:
    """The positions kept along one axis of a tensor."""
    numbers = torch.arange(model.state_dict()[name].shape[axis])
    return numbers[cut.indices(name)[axis]].flatten().tolist()


@pytest.mark.parametrize("mode", MODES)
def test_residual_sums_stay_aligned(mode):
    model = build("resnet18", width=FULL, **SHAPE)
    cut = Slice.draw(model, 0.5, mode, 5, generator())
    flowing = kept_along(model, cut, "body.0.weight", 0)
    for block in range(3, 11):  # after the stem's convolution, norm and ReLU
        assert kept_along(model, cut, f"body.{block}.branch.0.weight", 1) == flowing
        written = kept_along(model, cut, f"body.{block}.branch.3.weight", 0)
        shortcut = f"body.{block}.shortcut.0.weight"
        if shortcut in model.state_dict():
            assert kept_along(model, cut, shortcut, 1) == flowing
            flowing = kept_along(model, cut, shortcut, 0)
        assert written == flowing
    assert kept_along(model, cut, "head.weight", 1) == flowing == cut.feature_index.tolist()


def test_random_draws_one_subset_per_group_and_seed():
    model = build("resnet18", width=FULL, **SHAPE)
    first, same, other = (Slice.draw(model, 0.5, "random", 0, generator(seed)).kept for seed in (1, 1, 2))
    assert all(torch.equal(first[group], same[group]) for group in first)
    assert any(not torch.equal(first[group], other[group]) for group in first)
    assert not torch.equal(first["stage4"], first["stage4.1.inner"])


def test_flattened_channels_take_blocks_of_columns():
    model = build("cnn", channels=1, size=8, classes=2, width=1 / 16)  # 4 channels on a 2×2 map
    cut = Slice.draw(model, 0.5, "rolling", 1)
    assert cut.kept["conv2"].tolist() == [3, 0]
    state = {name: tensor for name, tensor in model.state_dict().items() if tensor.shape == (32, 16)}
    ((name, weight),) = state.items()
    hidden = cut.kept["hidden"]
    assert torch.equal(cut.take(state)[name], weight[hidden][:, [12, 13, 14, 15, 0, 1, 2, 3]])


def test_feature_index_is_the_input_of_the_narrow_head():
    model = trained("convnet4")
    cut = Slice.draw(model, 0.5, "random", 0, generator())
    assert torch.equal(cut.take(model.state_dict())["head.weight"], model.head.weight[:, cut.feature_index])


def test_a_copy_can_be_cut_like_the_original():
    model = trained("mobilenet")
    original, copied = (Slice.draw(m, 0.5, "rolling", 1).take(m.state_dict()) for m in (model, deepcopy(model)))
    assert all(torch.equal(original[name], copied[name]) for name in original)


def test_a_model_without_declared_axes_is_not_cut():
    model = Classifier(nn.Linear(4, 4), nn.Linear(4, 2))
    assert Slice.draw(model, 1.0, "static", 0).is_whole
    with pytest.raises(UserError, match=r"can't be cut in width: it declares no channel axes for body\.weight"):
        Slice.draw(model, 0.5, "static", 0)


def test_declared_axes_are_checked_against_the_tensors():
    hidden = Channels(4, "hidden")
    wrong = declare_axes(nn.Linear(4, 5), weight=(hidden, Channels(4)), bias=(hidden,))
    with pytest.raises(ValueError, match=r"body\.weight has shape \(5, 4\) but its axes are declared as \(4, 4\)"):
        Slice.draw(Classifier(wrong, linear(hidden, Channels(2))), 0.5, "static", 0)


def test_a_group_has_one_size():
    first, second = Channels(4, "hidden"), Channels(6, "hidden")
    model = Classifier(linear(first, second), linear(second, Channels(2)))
    with pytest.raises(ValueError, match="'hidden' has both"):
        Slice.draw(model, 0.5, "static", 0)


@pytest.mark.parametrize(("ratio", "mode"), [(0.0, "static"), (1.1, "static"), (0.5, "ordered")])
def test_wrong_requests_are_refused(ratio, mode):
    with pytest.raises(UserError):
        Slice.draw(build("mlp", **SHAPE), ratio, mode, 0)


def test_random_needs_a_generator():
    with pytest.raises(ValueError, match="needs a generator"):
        Slice.draw(build("mlp", **SHAPE), 0.5, "random", 0)


@pytest.mark.parametrize(
    ("rho", "ratios"),
    [
        (5, [1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 16, 1 / 16, 1 / 16]),
        (10, [1 / 2, 1 / 4, 1 / 8, *[1 / 16] * 7]),
        (20, [1 / 4, *[1 / 16] * 9]),
        (40, [1 / 16] * 10),
    ],
)
def test_width_rule(rho, ratios):
    assert width_ratios(10, rho, 4) == ratios


def test_width_rule_where_a_whole_number_comes_out_a_little_below_it():
    assert width_ratios(27, 37.8, 40)[24] == 0.5**35
