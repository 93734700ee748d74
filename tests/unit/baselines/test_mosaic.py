"""Mosaic end to end: when it is FedAvg, what stays as it is, what crosses the network, and its variants."""

import warnings
from typing import Any

import pytest
import torch
from support import cell, do_steps, equal_states, federation, separable, started

from baselines.class_statistics import KIND, StatisticsClassifier
from baselines.fedavg import FedAvg
from baselines.mosaic import Mosaic
from baselines.mosaic_gate import GatedMosaic
from baselines.mosaic_statistics import StatisticsMosaic
from baselines.pool_distillation import shares
from baselines.presets import with_defaults
from mosaic_bench.api import ALGORITHMS, Algorithm, PrivacyError, Unsupported
from mosaic_bench.data import parse_partition
from mosaic_bench.data.device import DeviceImages
from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm
from mosaic_bench.fed.federation import Federation
from mosaic_bench.fed.ledger import size_in_bytes
from mosaic_bench.fed.split import split
from mosaic_bench.fed.task import Task

PUBLIC = {"from": "train", "fraction": 0.2}
CELL: dict[str, Any] = {
    "partition": {"dirichlet": {"alpha": 0.3}},
    "models": {"arch": "resnet8", "width": 0.25},
    "federation": {"clients": 3, "rounds": 3, "public": PUBLIC},
}


def _started(method: type[Algorithm] = Mosaic, chosen: Any = None, **params: Any) -> Algorithm:
    fed = federation(chosen or cell(**CELL), reveals=method.reveals)
    return started(method, fed, **{**method.conformance_params, **params})


def _state(module: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _until(algorithm: Algorithm, stage: str) -> None:
    """Run the stages before ``stage``."""
    lengths = algorithm.stage_lengths(algorithm.params, algorithm.fed.rounds, 3)
    do_steps(algorithm, sum(list(lengths.values())[: list(lengths).index(stage)]))


@pytest.mark.parametrize("method", [Mosaic, StatisticsMosaic, GatedMosaic])
def test_warm_up_is_fedavg_bit_for_bit(method: type[Algorithm]) -> None:
    algorithm, fedavg = _started(method, last_rounds=0), started(FedAvg, federation(cell(**CELL)))
    _until(algorithm, "upload")
    do_steps(fedavg, 2)
    assert equal_states(_state(algorithm.servers["resnet8"]), _state(fedavg.servers["resnet8"]))
    assert algorithm.fed.ledger.counts() == fedavg.fed.ledger.counts()


def test_the_suites_rounds_are_spent_on_warm_up_upload_and_last_rounds() -> None:
    params = Mosaic.Params(last_rounds=4, kd_epochs=5)
    lengths = Mosaic.stage_lengths(params, rounds=20, clients=10)
    assert list(lengths.values()) == [15, 1, 10, 1, 5, 4]
    assert [stage.steps for stage in Mosaic.stages(params, 20, 10)] == [15, 1, 10]


def test_spending_more_rounds_than_the_suite_has_is_said() -> None:
    with pytest.warns(UserWarning, match="spends 23 rounds where federation.rounds is 3"):
        _started(last_rounds=21)
    with pytest.warns(UserWarning, match="spends 41 rounds where federation.rounds is 3"):
        _started(warmup_rounds=40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _started(last_rounds=1)


def test_variants_of_the_servers_part_declare_the_same_stages_and_others_do_not() -> None:
    base = Mosaic.stages(Mosaic.Params(), 9, 3)
    for method, params in ((Mosaic, {"js_weight": 0.0}), (StatisticsMosaic, {}), (GatedMosaic, {})):
        assert method.stages(method.Params(**params), 9, 3) == base
    other = Mosaic.stages(Mosaic.Params(entropy_weight=0.5), 9, 3)
    assert other[:2] == base[:2]
    assert other[2] != base[2]
    assert Mosaic.stages(Mosaic.Params(expert_lr=0.01), 9, 3)[1] != base[1]
    assert Mosaic.stages(Mosaic.Params(generators="average"), 9, 3)[2] != base[2]


def test_an_ordinary_upload_round_is_one_more_round_of_fedavg() -> None:
    algorithm, fedavg = _started(expert_steps=None, expert_prior=False), started(FedAvg, federation(cell(**CELL)))
    _until(algorithm, "generator")
    do_steps(fedavg, 3)
    assert equal_states(_state(algorithm.servers["resnet8"]), _state(fedavg.servers["resnet8"]))


def test_longer_training_ends_at_rate_zero_and_leaves_the_global_model() -> None:
    algorithm = _started()
    _until(algorithm, "upload")
    before = _state(algorithm.servers["resnet8"])
    algorithm.fed.begin(2)
    algorithm.step(2)
    assert equal_states(_state(algorithm.servers["resnet8"]), before)
    assert len({tuple(_state(member)["head.bias"].tolist()) for member in algorithm.members}) == 3


@pytest.mark.parametrize("method", [Mosaic, StatisticsMosaic, GatedMosaic])
def test_experts_and_generators_stay_as_they_were_uploaded(method: type[Algorithm]) -> None:
    algorithm = _started(method)
    _until(algorithm, "fuse")
    members, generators = _state(algorithm.members), _state(algorithm.generators)
    servers = _state(algorithm.servers["resnet8"])
    do_steps_from(algorithm)
    assert equal_states(_state(algorithm.members), members)
    assert equal_states(_state(algorithm.generators), generators)
    assert not equal_states(_state(algorithm.servers["resnet8"]), servers)


def do_steps_from(algorithm: Algorithm) -> None:
    """Run the stages from ``fuse`` on."""
    lengths = algorithm.stage_lengths(algorithm.params, algorithm.fed.rounds, 3)
    for t in range(lengths["warm_up"] + 1 + 3, algorithm.steps):
        algorithm.fed.begin(t)
        algorithm.step(t)


def test_every_client_uploads_its_generator_once_and_label_counts_once() -> None:
    algorithm = _started()
    do_steps(algorithm, algorithm.steps)
    up = algorithm.fed.ledger.up
    assert up["generators"] == 3 * size_in_bytes(algorithm.generators[0])
    assert up["label counts"] == 3 * 8 * 4
    assert up["model"] == 3 * 3 * size_in_bytes(algorithm.servers["resnet8"])
    held = algorithm.counts.clamp(max=10)
    assert up["prototypes"] == int(held.sum()) * 3 * 4 * 4


def test_the_student_before_the_last_rounds_is_evaluated_beside_the_final_one() -> None:
    algorithm = _started(last_rounds=1)
    _until(algorithm, "last_round")
    distilled = _state(algorithm.servers["resnet8"])
    assert "distilled" not in algorithm.predictors()
    algorithm.fed.begin(algorithm.steps - 1)
    algorithm.step(algorithm.steps - 1)
    found = algorithm.predictors()
    assert set(found) == {"server", "distilled", "teacher", "ensemble", "ensemble-weighted", "ensemble-logits"}
    assert equal_states(_state(found["distilled"]["resnet8"]), distilled)
    assert not equal_states(_state(found["server"]["resnet8"]), distilled)


def test_clients_of_one_class_do_not_learn_what_is_merely_frequent() -> None:
    """With the prior in the loss a client's own class costs nothing from the start."""
    algorithm = _started()
    algorithm.known = {0: torch.tensor([500, 0, 0, 0])}
    logits = torch.zeros(8, 4)

    class Received:
        client = 0

    class Batch:
        images, labels, step, received = logits, torch.zeros(8, dtype=torch.int64), 0, Received

    with_prior = algorithm._expert_loss(torch.nn.Identity(), Batch)
    assert float(with_prior) == pytest.approx(torch.tensor(504 / 501).log().item(), rel=1e-3)
    Batch.step = 3  # of 6: half of the rate is left
    assert float(algorithm._expert_loss(torch.nn.Identity(), Batch)) == pytest.approx(float(with_prior) / 2, rel=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"fusion": "uniform"},
        {"fusion": "published", "prototypes": "published"},
        {"experts": "parameters"},
        {"experts": "parameters", "prototypes": "published", "calibrated": False, "expert_steps": None},
        {"prototypes": "synthetic", "generators": "average"},
        {"discriminator": "own", "js": "bhattacharyya", "kd_balanced": False, "kd_augment": False},
    ],
)
def test_variants_run_to_a_finite_end(params: dict[str, Any]) -> None:
    algorithm = _started(**params)
    do_steps(algorithm, algorithm.steps)
    images = torch.zeros(2, 1, 12, 12)
    with torch.no_grad():
        logits = [algorithm.teacher(images), algorithm.servers["resnet8"](images)]
    assert all(bool(torch.isfinite(each).all()) for each in logits)
    if params.get("generators") == "average":
        first, *others = algorithm.generators
        assert all(equal_states(_state(first), _state(other)) for other in others)


@pytest.mark.parametrize("method", [Mosaic, StatisticsMosaic, GatedMosaic])
def test_generators_to_be_averaged_begin_with_the_same_weights_and_others_do_not(method: type[Algorithm]) -> None:
    for kind in ("average", "ensemble"):
        algorithm = _started(method, generators=kind)
        initial = [_state(each) for each in algorithm.generators]
        do_steps(algorithm, algorithm.steps)
        final = [_state(each) for each in algorithm.generators]
        for first, *others in (initial, final):
            assert all(equal_states(first, other) == (kind == "average") for other in others)
        assert not equal_states(final[0], initial[0])


def test_heads_that_cannot_read_the_global_models_features_are_refused_before_the_first_step() -> None:
    narrow = {"arch": "resnet8", "width": 0.25, "widths": [0.5, 0.5, 0.5]}
    family = {"arch": ["resnet8", "cnn"], "width": 0.25}
    for models in (narrow, family):
        with pytest.raises(Unsupported, match="feeds the global model's features to the clients' heads"):
            _started(Mosaic, cell(**CELL | {"models": models}), prototypes="published")
    averaged = _started(find_algorithm("mosaic/published"), cell(**CELL | {"models": narrow}))
    do_steps(averaged, averaged.steps)
    assert torch.isfinite(averaged.teacher(torch.zeros(2, 1, 12, 12))).all()


def test_prototypes_that_are_not_declared_are_refused_before_the_first_step() -> None:
    with pytest.raises(PrivacyError, match="asks clients for prototypes, which it does not declare"):
        _started(find_algorithm("mosaic/no-meta-model"), meta_epochs=2)
    for method in (StatisticsMosaic, GatedMosaic, find_algorithm("mosaic/uniform-fusion")):
        _started(method, meta_epochs=2, prototypes="published")


def test_a_term_that_is_never_computed_is_said() -> None:
    grouped = cell(**CELL | {"models": CELL["models"] | {"norm": "group"}})
    with pytest.warns(UserWarning, match="no client model has BatchNorm, so inversion_weight does nothing"):
        _started(Mosaic, grouped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _started(Mosaic, grouped, inversion_weight=0.0)


@pytest.mark.parametrize("params", [{"images": "public"}, {"prototypes": "public"}])
def test_real_images_and_labels_are_for_those_who_say_so(params: dict[str, Any]) -> None:
    with pytest.raises(PrivacyError, match="public images"):
        _started(**params)
    oracle = find_algorithm("mosaic/real-images" if "images" in params else "mosaic/real-labels")
    algorithm = started(oracle, federation(cell(**CELL), reveals=oracle.reveals), **oracle.conformance_params)
    do_steps(algorithm, algorithm.steps)


@pytest.mark.parametrize("name", ["mosaic/real-images", "mosaic/real-labels"])
def test_oracles_say_before_the_first_step_that_there_are_no_public_images(name: str) -> None:
    nothing_public = cell(models=CELL["models"])
    with pytest.raises(Unsupported, match="needs public images"):
        _started(find_algorithm(name), nothing_public)


def test_labels_of_another_data_set_are_refused_before_the_first_step() -> None:
    data, oracle = separable(), find_algorithm("mosaic/real-labels")
    elsewhere = cell(models=CELL["models"], federation={"clients": 3, "rounds": 3, "public": {"from": "fmnist"}})
    parts = split(elsewhere, parse_partition(elsewhere.partition), data)
    train, other = DeviceImages(data.train, data, "cpu"), DeviceImages(data.test, data, "cpu")
    fed = Federation(elsewhere, Task.of(data), train, parts, None, oracle.reveals, other)
    with pytest.raises(Unsupported, match="those of another data set are of other classes"):
        started(oracle, fed, **oracle.conformance_params)


def test_mixed_rounds_send_images_with_answers_and_others_do_not() -> None:
    algorithm = _started(StatisticsMosaic, mix_pool=40)
    do_steps(algorithm, algorithm.steps)
    down = algorithm.fed.ledger.down
    assert down["generated images"] == 3 * 40 * 12 * 12
    assert down["answers"] == 3 * 40 * 4 * 4
    plain = _started(StatisticsMosaic, mix_rounds=0)
    do_steps(plain, plain.steps)
    assert "answers" not in plain.fed.ledger.down


@pytest.mark.parametrize("mix_pool", [20, 80])  # of kd_pool: 40
def test_mixed_rounds_send_as_many_images_as_asked_for_of_every_generator(mix_pool: int) -> None:
    algorithm = _started(StatisticsMosaic, mix_pool=mix_pool)
    _until(algorithm, "last_round")
    made: list[int] = []
    for generator in algorithm.generators:
        generator.register_forward_hook(lambda module, noise, images: made.append(len(images)))
    algorithm.last_round(algorithm.steps - 2, 0)
    assert made == shares(algorithm.counts.sum(1).tolist(), mix_pool, "samples")
    assert algorithm.fed.ledger.down["generated images"] == 3 * mix_pool * 12 * 12


@pytest.mark.parametrize("mix_rounds", [4, 21])  # of 4 last rounds
def test_the_rate_of_mixed_rounds_falls_along_the_whole_cosine(mix_rounds: int) -> None:
    algorithm = _started(
        StatisticsMosaic, cell(**CELL, federation__rounds=6), last_rounds=4, mix_rounds=mix_rounds, mix_lr=0.02
    )
    rates = [algorithm._rate_of_mixed_round(index) for index in range(4)]
    assert rates == pytest.approx([0.02, 0.01 * (1 + 0.5**0.5), 0.01, 0.01 * (1 - 0.5**0.5)])


def test_a_refit_costs_the_student_once_and_the_statistics_of_the_head_that_is_deployed() -> None:
    algorithm = _started(StatisticsMosaic, guidance=0.0)
    do_steps(algorithm, algorithm.steps - 1)
    ledger = algorithm.fed.ledger
    down, up = dict(ledger.down), dict(ledger.up)
    assert "own head" not in algorithm.predictors()
    algorithm.refit(algorithm.steps - 1, 0)
    classes, d = 4, algorithm.servers["resnet8"].feature_width
    moments, losses = 8 * classes + 4 * classes * d + 4 * d * (d + 1) // 2, 8 * 4
    assert ledger.up[KIND] - up[KIND] == 3 * (moments + losses)
    assert ledger.down["space"] - down["space"] == 3 * size_in_bytes(algorithm.servers["resnet8"])
    assert ledger.down["head"] - down["head"] == 3 * size_in_bytes(algorithm.new_head)
    assert isinstance(algorithm.predictors()["server"], StatisticsClassifier)
    assert algorithm.predictors()["own head"] is algorithm.servers


@pytest.mark.parametrize("name", ["no-meta-model", "uniform-fusion", "synthetic-prototypes", "real-labels"])
def test_who_reads_no_prototypes_of_clients_asks_for_none_and_says_so(name: str) -> None:
    method = find_algorithm(f"mosaic/{name}")
    algorithm = _started(method)
    do_steps(algorithm, algorithm.steps)
    ledger = algorithm.fed.ledger
    assert "prototypes" not in method.reveals
    assert ledger.up.keys() - {"model"} == method.reveals - {"public images", "public labels"}
    assert ledger.down.keys() == {"model"}


def test_presets_are_other_defaults_of_the_same_code() -> None:
    names = [name for name in algorithm_names() if name.startswith("mosaic/")]
    assert len(names) == 17
    for name in names:
        assert issubclass(find_algorithm(name), Mosaic)
    published = ALGORITHMS["mosaic/published"].Params()
    assert (published.fusion, published.meta_epochs, published.js) == ("published", 150, "bhattacharyya")
    assert {name for name in names if ALGORITHMS[name].extension} == {
        "mosaic/gate", "mosaic/guided-rounds", "mosaic/mixed-rounds", "mosaic/statistics",
        "mosaic/statistics-real-images",
    }  # fmt: skip
    with pytest.raises(ValueError, match="has no entropy"):
        with_defaults(Mosaic.Params, "test", entropy=1.0)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        with_defaults(Mosaic.Params, "test", last_rounds=4)(last_rounds=-3)
