"""The coverage average against the definition, for every architecture and extraction."""

import pytest
import torch
from torch import Tensor

from mosaic_bench.fed.average import CoverageAverage
from mosaic_bench.models import ARCHITECTURES, Classifier, Slice, build

ZOO = sorted(ARCHITECTURES)
MODES = ("static", "rolling", "random")
State = dict[str, Tensor]


def model_of(arch: str, norm: str = "batch") -> Classifier:
    return build(arch, channels=3, size=8, classes=5, width=1 / 4, norm=norm)


def trained(model: Classifier, seed: int) -> State:
    """A state that one client might send: every entry random, the BatchNorm counters `seed`."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else torch.tensor(seed)
        for name, tensor in model.state_dict().items()
    }


def average(reference: State, *updates: tuple[State, float] | tuple[State, float, Slice]) -> State:
    mean = CoverageAverage(reference)
    for update in updates:
        mean.add(*update)
    return mean.result()


def floats(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arch", ZOO)
def test_equal_widths_give_fedavg(arch, mode):
    model = model_of(arch)
    clients, weights = [trained(model, seed) for seed in (1, 2, 3)], (5, 1, 2)
    whole = Slice.draw(model, 1.0, mode, 4, torch.Generator())
    result = average(model.state_dict(), *((state, w, whole) for state, w in zip(clients, weights, strict=True)))
    for name, tensor in floats(result).items():
        expected = sum(w * client[name] for client, w in zip(clients, weights, strict=True)) / 8
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arch", ZOO)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_slices_sent_back_unmodified_change_nothing(arch, norm, mode):
    model = model_of(arch, norm)
    reference = trained(model, 0)
    mean = CoverageAverage(reference)
    for client, ratio in enumerate((1.0, 0.5, 0.5, 0.2)):
        cut = Slice.draw(model, ratio, mode, 3, torch.Generator().manual_seed(client))
        mean.add(cut.take(reference), client + 0.7, cut)
    for name, tensor in mean.result().items():
        torch.testing.assert_close(tensor, reference[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arch", ZOO)
def test_only_the_clients_that_cover_a_coordinate_count(arch, mode):
    model = model_of(arch)
    reference, mean = trained(model, 0), CoverageAverage(trained(model, 0))
    sums, counts = ({name: torch.zeros_like(t) for name, t in floats(reference).items()} for _ in range(2))
    for client, (ratio, weight) in enumerate(((0.5, 1.0), (0.3, 2.0), (0.5, 4.0))):
        cut = Slice.draw(model, ratio, mode, client, torch.Generator().manual_seed(client))
        update = cut.take(trained(model, client + 1))
        mean.add(update, weight, cut)
        for name in sums:
            covered = torch.zeros_like(sums[name])
            covered[cut.indices(name)] = 1
            counts[name] += weight * covered
            covered[cut.indices(name)] = weight * update[name]
            sums[name] += covered
    for name, tensor in floats(mean.result()).items():
        held = counts[name] > 0
        torch.testing.assert_close(tensor[held], (sums[name] / counts[name])[held], atol=1e-6, rtol=1e-6)
        assert torch.equal(tensor[~held], reference[name][~held])


@pytest.mark.parametrize("arch", ZOO)
def test_prefix_blocks_are_covered_twice_and_the_rest_once(arch):
    model = model_of(arch)
    zero = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    one = {name: torch.ones_like(tensor) for name, tensor in zero.items()}
    half = Slice.draw(model, 0.5, "static", 0)
    result = average(zero, (zero, 1), (half.take(one), 1, half))
    for name, tensor in floats(result).items():
        expected = torch.zeros_like(tensor)
        expected[half.indices(name)] = 0.5  # one of two; the rest is 0 of one
        assert torch.equal(tensor, expected)


def test_samples_weigh_one_to_three():
    model = model_of("resnet8")
    first, second = trained(model, 1), trained(model, 2)
    for name, tensor in floats(average(model.state_dict(), (first, 1), (second, 3))).items():
        torch.testing.assert_close(tensor, (first[name] + 3 * second[name]) / 4, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_the_order_of_clients_does_not_matter(ratio):
    model = model_of("resnet8")
    cuts = [Slice.draw(model, ratio, "random", 0, torch.Generator().manual_seed(seed)) for seed in range(6)]
    updates = [(cut.take(trained(model, seed)), seed + 0.3, cut) for seed, cut in enumerate(cuts)]
    there, back = average(model.state_dict(), *updates), average(model.state_dict(), *reversed(updates))
    for name in there:
        torch.testing.assert_close(there[name], back[name], atol=1e-7, rtol=1e-6)


def test_identical_clients_change_nothing():
    model = model_of("resnet20")
    client = trained(model, 1)
    result = average(model.state_dict(), *((client, weight) for weight in (0.1, 3, 7.7)))
    for name, tensor in result.items():
        torch.testing.assert_close(tensor, client[name], atol=0, rtol=1e-7)


def test_integer_counters_keep_the_largest_value_under_fractional_weights():
    model = model_of("resnet8")
    result = average(model.state_dict(), (trained(model, 7), 0.25), (trained(model, 4), 0.5))
    counters = [tensor for name, tensor in result.items() if name.endswith("num_batches_tracked")]
    assert counters
    assert all(counter == 7 and counter.dtype == torch.int64 for counter in counters)


def test_running_statistics_are_averaged():
    model = model_of("resnet8")
    first, second = trained(model, 1), trained(model, 2)
    name = "body.1.running_var"
    result = average(model.state_dict(), (first, 1), (second, 1))
    torch.testing.assert_close(result[name], (first[name] + second[name]) / 2)


def test_dtypes_and_order_are_the_references():
    reference = {"half": torch.zeros(2, dtype=torch.bfloat16), "single": torch.zeros(2)}
    update = {"single": torch.ones(2), "half": torch.ones(2, dtype=torch.bfloat16)}
    result = average(reference, (update, 1))
    assert [(name, tensor.dtype) for name, tensor in result.items()] == [
        ("half", torch.bfloat16),
        ("single", torch.float32),
    ]


def test_many_small_contributions_are_not_lost():
    reference = {"w": torch.zeros(1)}
    mean = CoverageAverage(reference)
    mean.add({"w": torch.tensor([2.0**24])}, 1)
    for _ in range(64):
        mean.add({"w": torch.ones(1)}, 1)  # float32 would drop each of them
    assert mean.result()["w"].item() == pytest.approx((2**24 + 64) / 65, rel=1e-7)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_values_show_where_they_were_sent(value):
    model = model_of("mlp", norm="none")
    cut = Slice.draw(model, 0.5, "static", 0)
    bad = {name: torch.full_like(tensor, value) for name, tensor in cut.take(model.state_dict()).items()}
    result = average(model.state_dict(), (trained(model, 1), 1), (bad, 1, cut))
    for name, tensor in result.items():
        expected = torch.zeros_like(tensor, dtype=torch.bool)
        expected[cut.indices(name)] = True
        assert torch.equal(~tensor.isfinite(), expected)


def test_clients_of_weight_zero_are_left_out():
    model = model_of("mlp")
    broken = {name: torch.full_like(tensor, 99) for name, tensor in model.state_dict().items()}
    client = trained(model, 1)
    result = average(model.state_dict(), (broken, 0), (client, 2))
    for name, tensor in result.items():
        torch.testing.assert_close(tensor, client[name])


@pytest.mark.parametrize("weights", [(), (0,), (0.0, 0)])
def test_nothing_to_average_is_said(weights):
    model = model_of("mlp")
    with pytest.raises(ValueError, match="no client has a positive weight"):
        average(model.state_dict(), *((trained(model, 1), weight) for weight in weights))


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_impossible_weights_are_refused(weight):
    model = model_of("mlp")
    with pytest.raises(ValueError, match="finite and not negative"):
        average(model.state_dict(), (trained(model, 1), weight))


def test_other_names_and_shapes_are_refused():
    reference = {"w": torch.zeros(3, 2)}
    with pytest.raises(ValueError, match="differs from the model in"):
        average(reference, ({"v": torch.zeros(3, 2)}, 1))
    with pytest.raises(ValueError, match=r"has shape \(1, 2\), expected \(3, 2\)"):
        average(reference, ({"w": torch.zeros(1, 2)}, 1))


def test_updates_and_reference_stay_as_they_are():
    model = model_of("resnet8")
    reference, client = trained(model, 1), trained(model, 2)
    average(reference, (client, 2))
    for state, seed in ((reference, 1), (client, 2)):
        assert all(torch.equal(tensor, trained(model, seed)[name]) for name, tensor in state.items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", MODES)
def test_on_a_gpu_it_gives_what_it_gives_on_a_cpu(mode):
    model = model_of("resnet8")
    reference, client = trained(model, 1), trained(model, 2)
    cut = Slice.draw(model, 0.5, mode, 3, torch.Generator().manual_seed(0))
    on_gpu = [{name: tensor.cuda() for name, tensor in state.items()} for state in (reference, client)]
    expected = average(reference, (cut.take(client), 2, cut))
    result = average(on_gpu[0], (cut.take(on_gpu[1]), 2, cut))
    assert all(tensor.is_cuda and torch.equal(tensor.cpu(), expected[name]) for name, tensor in result.items())
