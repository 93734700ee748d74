"""FedGen's oracles: when it is FedAvg, what its generator learns from, what crosses the network."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import cell, do_steps, equal_states, federation, started

from baselines.fedavg import FedAvg
from baselines.fedgen import COUNTS, GENERATOR, FedGen, _Head
from mosaic_bench.api import Algorithm, Batch, Unsupported
from mosaic_bench.fed.ledger import size_in_bytes

SKEWED = {"dirichlet": {"alpha": 0.3}}
QUICK = FedGen.conformance_params


def _fedgen(chosen: Any = None, **params: Any) -> Algorithm:
    chosen = chosen or cell(partition=SKEWED)
    return started(FedGen, federation(chosen, reveals=FedGen.reveals), **{**QUICK, **params})


def _after(algorithm: Algorithm, steps: int) -> dict[str, torch.Tensor]:
    do_steps(algorithm, steps)
    [model] = algorithm.servers.values()
    return model.state_dict()


def _fedavg(steps: int) -> dict[str, torch.Tensor]:
    return _after(started(FedAvg, federation(cell(partition=SKEWED))), steps)


def test_the_first_round_is_fedavgs_and_later_ones_only_without_local_terms() -> None:
    assert equal_states(_after(_fedgen(), 1), _fedavg(1))
    assert not equal_states(_after(_fedgen(), 2), _fedavg(2))
    assert equal_states(_after(_fedgen(ce_weight=0.0), 3), _fedavg(3))


def test_the_third_term_is_off_unless_asked_for() -> None:
    assert not equal_states(_after(_fedgen(ce_weight=0.0, kl_weight=1.0), 2), _fedavg(2))


def test_local_weights_decay_to_a_floor() -> None:
    algorithm = _fedgen()
    assert algorithm.weight_at(10.0, 0) == 10
    assert algorithm.weight_at(10.0, 3) == pytest.approx(10 * 0.98**3)
    assert algorithm.weight_at(10.0, 569) > 1e-4
    assert algorithm.weight_at(10.0, 570) == 1e-4
    assert algorithm.weight_at(0.0, 5) == 0


def test_clients_leave_the_generator_alone() -> None:
    algorithm = _fedgen(kl_weight=1.0)
    do_steps(algorithm, 1)
    before = {name: tensor.clone() for name, tensor in algorithm.generator.state_dict().items()}
    payload = {GENERATOR: algorithm.generator.eval(), COUNTS: algorithm.labels}
    algorithm.fed.begin(1)
    received = algorithm.fed.broadcast(algorithm.servers, [0, 1], **payload)
    list(algorithm.fed.train(received, lambda model, batch: algorithm._loss(model, batch, 1)))
    assert equal_states(algorithm.generator.state_dict(), before)
    assert all(parameter.grad is None for parameter in algorithm.generator.parameters())


def test_with_one_client_the_generator_learns_its_heads_cross_entropy() -> None:
    algorithm = _fedgen()
    logits, labels = torch.randn(1, 6, 4), torch.tensor([0, 1, 2, 3, 3, 0])
    held = torch.ones(1, 4)
    torch.testing.assert_close(algorithm._teacher_loss(logits, labels, held), F.cross_entropy(logits[0], labels))


def test_the_paper_averages_logits_and_the_code_weighs_losses() -> None:
    logits, labels = torch.randn(2, 3, 4), torch.tensor([0, 1, 2])
    weights = torch.tensor([[1.0, 0.25, 0.0, 0.0], [0.0, 0.75, 1.0, 0.0]])
    rows = [F.cross_entropy(logits[k], labels, reduction="none") for k in range(2)]
    weighted = (rows[0][0] + 0.25 * rows[0][1] + 0.75 * rows[1][1] + rows[1][2]) / 3
    torch.testing.assert_close(_fedgen()._teacher_loss(logits, labels, weights), weighted)
    averaged = _fedgen(teacher="mean_logits")._teacher_loss(logits, labels, weights)
    torch.testing.assert_close(averaged, F.cross_entropy(logits.mean(0), labels))


def test_training_the_generator_makes_its_features_tell_their_label_to_the_heads() -> None:
    algorithm = _fedgen(cell(local__steps=20), generator_steps=200, generator_lr=1e-2, diversity_weight=0.0)
    do_steps(algorithm, 1)
    random = algorithm.fed.rng("test")
    labels = random.integers(4, 200)
    with torch.no_grad():
        features = algorithm.generator.eval()(random.normal(200, QUICK["latent"]), labels)
        predicted = algorithm.servers["cnn"].head(features).argmax(1)
    assert float((predicted == labels).float().mean()) > 0.9


def test_noise_is_gaussian_or_as_published_uniform() -> None:
    random = _fedgen().fed.rng("test")
    assert float(_fedgen()._noise(100, random).min()) < 0
    uniform = _fedgen(noise="uniform")._noise(100, random)
    assert 0 <= float(uniform.min()) <= float(uniform.max()) < 1


def test_bytes_down_are_the_model_and_from_round_two_generator_and_label_counts() -> None:
    algorithm = _fedgen()
    do_steps(algorithm, 3)
    counts, classes = algorithm.fed.ledger.counts(), 4
    model, generator = size_in_bytes(algorithm.servers["cnn"]), size_in_bytes(algorithm.generator)
    assert counts["bytes_down"] == {"model": 9 * model, GENERATOR: 6 * generator, COUNTS: 6 * 8 * classes}
    assert counts["bytes_up"] == {"model": 9 * model, COUNTS: 3 * 8 * classes}


@pytest.mark.parametrize("labels", ["uniform", "counts"])
def test_clients_draw_labels_of_all_clients_met_so_far(labels: str) -> None:
    rare = cell(partition={"shards": {"per_client": 1}}, federation={"clients": 4, "rounds": 6, "participation": 0.25})
    algorithm = _fedgen(rare, labels=labels)
    do_steps(algorithm, 6)
    met = torch.stack(list(algorithm.counts.values())).sum(0)
    assert int((met > 0).sum()) > 1
    assert torch.equal(algorithm.labels, met if labels == "counts" else met.clamp(max=1))


def test_a_full_width_slice_takes_the_homogeneous_path() -> None:
    models = {"arch": "cnn", "norm": "none"}
    plain = _after(_fedgen(cell(models=models)), 2)
    sliced = _after(_fedgen(cell(models={**models, "widths": [1.0, 1.0, 1.0]})), 2)
    assert equal_states(plain, sliced)


def test_narrow_heads_read_their_own_part_of_the_full_width_features() -> None:
    models = {"arch": "cnn", "norm": "none", "widths": [1.0, 0.5, 0.25], "extract": "rolling"}
    algorithm = _fedgen(cell(models=models))
    algorithm.fed.begin(3)
    *_, narrow = algorithm.fed.broadcast(algorithm.servers, [0, 1, 2])
    head = _Head(narrow.state["head.weight"], narrow.state["head.bias"], narrow.slice.feature_index)
    features = torch.randn(5, 512)
    zeroed = torch.zeros_like(features)
    zeroed[:, narrow.slice.feature_index] = features[:, narrow.slice.feature_index]
    torch.testing.assert_close(head(features), algorithm.servers["cnn"].head(zeroed))
    do_steps(algorithm, 2)  # clients query the generator too
    payload = {GENERATOR: algorithm.generator.eval(), COUNTS: algorithm.labels}
    [received] = algorithm.fed.broadcast(algorithm.servers, [2], **payload)
    batch = Batch(torch.empty(0), torch.tensor([0, 1]), received, 0)
    logits = algorithm._generated_logits(algorithm.fed.model(client=2), batch, batch.labels, algorithm.fed.rng("test"))
    assert logits.shape == (2, 4)


def test_several_architectures_need_features_of_one_width() -> None:
    with pytest.raises(Unsupported, match="features of one width, but the architectures have 16, 128"):
        _fedgen(cell(models={"arch": ["cnn", "resnet8"], "width": 0.25}))
    algorithm = _fedgen(cell(models={"arch": ["resnet8", "resnet20"], "width": 0.25}))
    do_steps(algorithm, 2)
    assert set(algorithm.servers) == {"resnet8", "resnet20"}
