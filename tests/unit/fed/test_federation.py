"""The services: what clients get, what they hand back, what it costs, and what is refused."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support import cell, federation, separable
from torch import Tensor

from mosaic_bench.api import Batch, ClientData, PrivacyError, Unsupported, cross_entropy
from mosaic_bench.data.device import DeviceImages
from mosaic_bench.fed.ledger import size_in_bytes
from mosaic_bench.fed.public import PublicImages
from mosaic_bench.models import Classifier, recalibrate_


def test_every_call_gives_the_same_initial_weights_and_families_differ_by_architecture() -> None:
    fed = federation(cell())
    first, second = fed.model().state_dict(), fed.model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other_seed = federation(cell(seed=1)).model().state_dict()
    assert not torch.equal(first["head.weight"], other_seed["head.weight"])


def test_cohorts_are_equal_for_equal_seeds_and_change_with_the_round() -> None:
    fed = federation(cell(federation={"clients": 20, "rounds": 3, "participation": 0.25}))
    again = federation(cell(federation={"clients": 20, "rounds": 9, "participation": 0.25}, algorithm="other"))
    cohorts = [fed.cohort(t) for t in range(8)]
    assert cohorts == [again.cohort(t) for t in range(8)]
    assert all(len(set(c)) == 5 and c == sorted(c) and min(c) >= 0 and max(c) < 20 for c in cohorts)
    assert len({tuple(c) for c in cohorts}) > 1


def test_a_client_sees_every_image_once_an_epoch_in_an_order_that_changes() -> None:
    fed = federation(cell(local={"epochs": 1, "batch": 16, "lr": 0.0}))
    seen: list[list[tuple[float, ...]]] = []

    def read(data: ClientData) -> int:
        stream = data.batches(16, t=0)
        for _ in range(2):
            batches = [next(stream)[0] for _ in range(data.steps_per_epoch(16))]
            seen.append([tuple(row) for row in torch.cat(batches).flatten(1)[:, :20].tolist()])
        return data.samples

    fed._reveals = frozenset({"count"})
    samples = fed.map(read, [0], "count")[0]
    first, second = seen
    assert len(first) == samples == 80
    assert Counter(first) == Counter(second)
    assert first != second


@pytest.mark.parametrize(("samples", "batch", "steps"), [(33, 16, 2), (34, 16, 3), (32, 16, 2), (5, 16, 1)])
def test_only_a_remainder_of_one_image_is_dropped(samples: int, batch: int, steps: int) -> None:
    fed = federation(cell(federation={"clients": 1, "rounds": 1}), separable(train=samples, classes=1))
    data = ClientData(0, fed._train_images, fed._indices[0], 1, 0, fed.ledger)
    assert data.steps_per_epoch(batch) == steps


def test_batches_do_not_depend_on_other_clients_or_on_the_cohort() -> None:
    def trained(cohort: list[int]) -> dict[int, Tensor]:
        fed = federation(cell())
        updates = fed.train(fed.broadcast(fed.model(), cohort)).keep()
        return {update.client: update.state["head.weight"] for update in updates}

    together, alone = trained([0, 1, 2]), trained([1])
    assert torch.equal(together[1], alone[1])
    assert not torch.equal(together[0], together[1])


def test_the_average_of_one_full_batch_step_is_one_centralised_full_batch_step() -> None:
    """Gradients average exactly without BatchNorm (METHODS: averaging gradients)."""
    dataset = separable(train=96)
    one_step = {"steps": 1, "batch": 96, "lr": 0.1}
    many = federation(cell(local=one_step, federation={"clients": 3, "rounds": 1}), dataset)
    single = federation(cell(local=one_step, federation={"clients": 1, "rounds": 1}), dataset)
    results = []
    for fed in (many, single):
        model = fed.model()
        fed.average_(model, fed.train(fed.broadcast(model, range(fed.clients))))
        results.append(model.state_dict())
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=1e-5, atol=1e-6)


def test_a_zero_learning_rate_leaves_parameters_and_moves_only_batch_statistics() -> None:
    fed = federation(cell(local__lr=0.0, models={"arch": "resnet8", "width": 0.25}))
    model = fed.model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fed.average_(model, fed.train(fed.broadcast(model, fed.cohort(0))))
    for name, tensor in model.state_dict().items():
        moved = not torch.equal(tensor, before[name])
        assert moved == any(part in name for part in ("running_", "num_batches")), name


def test_the_last_rounds_can_have_a_lower_rate() -> None:
    """The last two of five rounds train as a federation at half the rate does; earlier ones don't notice the tail."""
    rounds = {"clients": 3, "rounds": 5}
    tail = federation(cell(federation=rounds, local__tail={"rounds": 2, "factor": 0.5}))
    plain, slow = (federation(cell(federation=rounds, local__lr=lr)) for lr in (0.05, 0.025))
    assert [tail.lr_factor(t) for t in range(5)] == [1, 1, 1, 0.5, 0.5]
    for t, same in ((0, plain), (2, plain), (3, slow), (4, slow)):
        states = []
        for fed in (tail, same):
            fed.begin(t)
            [update] = fed.train(fed.broadcast(fed.model(), [1])).keep()
            states.append(update.state)
        assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items()), t


def test_a_rate_that_the_algorithm_gives_is_stronger_than_the_tail() -> None:
    fed = federation(cell(local__tail={"rounds": 2, "factor": 0.0}))  # of two rounds
    [still] = fed.train(fed.broadcast(fed.model(), [1])).keep()
    [moved] = fed.train(fed.broadcast(fed.model(), [1]), lr=fed.local.lr).keep()
    initial = fed.model().state_dict()
    assert torch.equal(still.state["head.weight"], initial["head.weight"])
    assert not torch.equal(moved.state["head.weight"], initial["head.weight"])


def test_the_ledger_counts_state_bytes_samples_and_flops() -> None:
    fed = federation(cell())
    model = fed.model()
    state = size_in_bytes(model)
    fed.average_(model, fed.train(fed.broadcast(model, [0, 1, 2])))
    counts = fed.ledger.counts()
    assert counts["bytes_down"] == {"model": 3 * state} == counts["bytes_up"]
    assert counts["samples"] == 3 * 3 * 16
    conv = 2 * (8 * 25 * 12 * 12) + 2 * (16 * 8 * 25 * 6 * 6)  # two convolutions, multiply and add
    dense = 2 * (16 * 9 * 128) + 2 * (128 * 4)
    first_input_needs_no_gradient = 2 * (8 * 25 * 12 * 12)
    assert counts["flops"] == counts["samples"] * (3 * (conv + dense) - first_input_needs_no_gradient)


def test_the_ledger_counts_what_a_loss_and_a_map_do_beside_the_model() -> None:
    fed = federation(cell(), reveals=frozenset({"features"}))
    model, layer = fed.model(), torch.nn.Linear(144, 5)
    list(fed.train(fed.broadcast(model, [0])))
    plain = fed.ledger.counts()

    def with_a_layer(model: Classifier, batch: Batch) -> Tensor:
        return cross_entropy(model, batch) + layer(batch.images.flatten(1)).sum()

    list(fed.train(fed.broadcast(model, [0]), with_a_layer))
    forward_and_weights = 2 * 2 * 144 * 5
    trained = fed.ledger.counts()
    assert trained["samples"] == 2 * plain["samples"]
    assert trained["flops"] == 2 * plain["flops"] + plain["samples"] * forward_and_weights

    def describe(data: ClientData) -> Tensor:
        with torch.no_grad():
            return layer(torch.cat([data.images().flatten(1), data.images(slice(7)).flatten(1)])).mean(0)

    fed.map(describe, [1, 2], "features")
    layer(torch.zeros(1, 144))  # at the server
    mapped = fed.ledger.counts()
    read = mapped["samples"] - trained["samples"]
    assert read == sum(len(fed._indices[client]) + 7 for client in (1, 2))
    assert mapped["flops"] - trained["flops"] == read * 2 * 144 * 5


def test_a_slice_costs_its_own_bytes_and_leaves_what_no_client_holds() -> None:
    models = {"arch": "cnn", "norm": "none", "widths": [0.5, 0.5, 0.25], "extract": "static"}
    fed = federation(cell(models=models))
    model = fed.model()
    before = model.state_dict()["body.0.weight"].clone()
    fed.average_(model, fed.train(fed.broadcast(model, [0, 1, 2])))
    narrow = sum(size_in_bytes(fed.model(client=client)) for client in range(3))
    assert fed.ledger.counts()["bytes_up"] == {"model": narrow}
    after = model.state_dict()["body.0.weight"]
    assert torch.equal(after[16:], before[16:])
    assert not torch.equal(after[:16], before[:16])


def test_walking_what_is_sent_counts_its_bytes() -> None:
    model = torch.nn.BatchNorm1d(3)
    value = {"prototypes": [torch.zeros(2, 5), torch.zeros(1, dtype=torch.int64)], "count": 7, "model": model}
    assert size_in_bytes(value) == 2 * 5 * 4 + 8 + 8 + (4 * 3 * 4 + 8)
    with pytest.raises(TypeError, match="cannot be sent"):
        size_in_bytes(object())


def test_updates_are_read_once_unless_kept() -> None:
    fed = federation(cell())
    stream = fed.train(fed.broadcast(fed.model(), [0, 1]))
    kept = stream.keep()
    assert not torch.equal(kept[0].state["head.weight"], kept[1].state["head.weight"])
    with pytest.raises(RuntimeError, match="keep"):
        list(stream)


def test_a_kept_update_builds_the_clients_model() -> None:
    fed = federation(cell())
    update = fed.train(fed.broadcast(fed.model(), [2])).keep()[0]
    model = update.model()
    assert not model.training
    assert all(torch.equal(tensor, update.state[name]) for name, tensor in model.state_dict().items())


def test_training_refuses_a_model_that_is_not_the_clients() -> None:
    fed = federation(cell(models={"arch": ["cnn", "resnet8"], "width": 0.25}))
    received = list(fed.broadcast(fed.models(), [0, 1]))
    swapped = [type(received[0])(0, received[1].arch, None, received[1].state)]
    with pytest.raises(ValueError, match="client 0 trains cnn"):
        list(fed.train(swapped))
    with pytest.raises(Unsupported, match="different"):
        fed.model()


def test_client_data_is_closed_outside_train_and_map() -> None:
    fed = federation(cell(), reveals=frozenset({"label counts"}))
    escaped: list[ClientData] = []
    counts = fed.map(lambda data: escaped.append(data) or data.counts, [0, 1, 2], "label counts")
    assert sum(counts.values()).tolist() == [60, 60, 60, 60]
    assert fed.ledger.counts()["bytes_up"] == {"label counts": 3 * 4 * 8}
    for read in ("samples", "labels", "counts"):
        with pytest.raises(PrivacyError, match="outside train or map"):
            getattr(escaped[0], read)
    with pytest.raises(PrivacyError):
        escaped[0].images()


def test_an_undeclared_upload_is_refused() -> None:
    fed = federation(cell())
    with pytest.raises(PrivacyError, match="label counts"):
        fed.map(lambda data: data.counts, [0], "label counts")


def test_there_are_no_public_images_unless_the_suite_gives_some() -> None:
    with pytest.raises(Unsupported, match="public"):
        _ = federation(cell()).public
    given = cell(federation={"clients": 3, "rounds": 1, "public": {"from": "train", "fraction": 0.1}})
    with pytest.raises(PrivacyError, match="public images"):
        _ = federation(given).public
    fed = federation(given, reveals=frozenset({"public images"}))
    assert len(fed.public) == 24
    assert fed.public.images(slice(5)).shape == (5, 1, 12, 12)


@pytest.mark.parametrize(("size", "sizes"), [(8, [8, 8, 8]), (23, [24]), (10, [10, 10, 4]), (50, [24])])
def test_batches_of_public_images_are_mixed_and_none_has_one_image(size: int, sizes: list[int]) -> None:
    given = cell(federation={"clients": 3, "rounds": 1, "public": {"from": "train", "fraction": 0.1}})
    public = federation(given, reveals=frozenset({"public images"})).public
    batches = list(public.batches(size, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == sizes
    together, stored = torch.cat(batches).flatten(1).tolist(), public.images().flatten(1).tolist()
    assert together != stored
    assert sorted(together) == sorted(stored)


def test_recalibration_does_not_read_public_images_class_by_class() -> None:
    """Sorted by class, a batch would hold one class, and the variance between classes would be missing."""
    data = separable(train=400)
    order = data.train.labels.argsort(kind="stable")
    changes = {"models": {"arch": "mlp", "norm": "batch", "batch_statistics": "recalibrate"}}
    given = cell(federation={"clients": 2, "rounds": 1, "public": {"from": "train", "fraction": 0.5}}, **changes)
    fed = federation(given, replace(data, train=data.train.take(order)), frozenset({"public images"}))
    model = fed.model()
    fed.average_(model, fed.train(fed.broadcast(model, fed.cohort(0)), steps=0))
    whole = fed.model()
    recalibrate_(whole, [fed.public.images()])
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            assert float((buffer / whole.get_buffer(name)).mean()) > 0.9


def test_labels_of_public_images_of_another_data_set_are_unsupported() -> None:
    data = separable()
    images = DeviceImages(data.train, data, "cpu")
    with pytest.raises(Unsupported, match="those of another data set are of other classes"):
        _ = PublicImages(images, torch.arange(5), with_labels=True, foreign=True).labels


def test_a_stream_of_batches_ends_with_the_access_to_the_client() -> None:
    fed = federation(cell(), reveals=frozenset({"count"}))
    streams = []
    fed.map(lambda data: streams.append(data.batches(16, t=0)) or next(streams[0])[1].sum(), [0], "count")
    with pytest.raises(PrivacyError, match="client 0 read outside"):
        next(streams[0])


def test_training_of_no_step_has_a_finite_loss() -> None:
    fed = federation(cell())
    list(fed.train(fed.broadcast(fed.model(), [0]), steps=0))
    assert fed.mean_loss() == 0


def test_validation_gives_an_accuracy_and_nothing_else() -> None:
    declared = frozenset({"validation labels"})
    with pytest.raises(Unsupported, match="validation"):
        federation(cell(), reveals=declared).validation_accuracy(torch.nn.Identity())
    held = cell(federation={"clients": 3, "rounds": 1, "validation": 0.1})
    with pytest.raises(PrivacyError, match="validation labels"):
        federation(held).validation_accuracy(federation(held).model())
    fed = federation(held, reveals=declared)
    model = fed.model().train()
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data = torch.tensor([0.0, 1.0, 0.0, 0.0])
    frozen = model.body[0].eval()
    assert fed.validation_accuracy(model) == pytest.approx(0.25)  # the split is stratified over four classes
    assert model.training
    assert not frozen.training  # each part is left as it was


def test_an_algorithm_may_change_the_loss() -> None:
    def halved(model: torch.nn.Module, batch) -> Tensor:  # type: ignore[no-untyped-def]
        assert batch.received.client == 1
        return 0.5 * F.cross_entropy(model(batch.images), batch.labels)

    fed, other = federation(cell()), federation(cell(local__lr=0.025))
    [half] = fed.train(fed.broadcast(fed.model(), [1]), halved).keep()
    [slow] = other.train(other.broadcast(other.model(), [1])).keep()
    torch.testing.assert_close(half.state["head.weight"], slow.state["head.weight"], rtol=1e-5, atol=1e-7)
    assert float(half.loss) == pytest.approx(float(slow.loss) / 2, rel=1e-5)


def test_augmented_images_keep_their_range_and_pass_gradients() -> None:
    fed = federation(cell(local__augment="standard"))
    black, grey = fed.task.from_pixels(torch.tensor([0, 128], dtype=torch.uint8)).flatten()
    images = grey.expand(4, 1, 12, 12).clone().requires_grad_()
    moved = fed.augmented(images, fed.rng("test"))
    assert (((moved - black).abs() < 1e-6) | ((moved - grey).abs() < 1e-6)).all()
    moved.sum().backward()
    assert images.grad is not None
    assert 0 < float(images.grad.sum()) <= images.numel()


def test_draws_belong_to_their_name_and_step() -> None:
    fed = federation(cell())
    first = fed.rng("noise", 3).normal(4)
    assert torch.equal(first, fed.rng("noise", 3).normal(4))
    assert not torch.equal(first, fed.rng("noise", 4).normal(4))
    assert not torch.equal(first, fed.rng("labels", 3).normal(4))
    generator = fed.module("generator", lambda: torch.nn.Linear(3, 3), 1)
    assert torch.equal(generator.weight, fed.module("generator", lambda: torch.nn.Linear(3, 3), 1).weight)
    assert not torch.equal(generator.weight, fed.module("generator", lambda: torch.nn.Linear(3, 3), 2).weight)
