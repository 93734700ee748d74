import math
from dataclasses import replace
from pathlib import Path

import pytest
from studies import write_study

from mosaic_bench.errors import UserError
from mosaic_bench.report.drift import Drift, drifts
from mosaic_bench.report.measured import Measured, group_of, measured, relative
from mosaic_bench.report.reference import (
    CellReference,
    Reference,
    make_reference,
    read_reference,
    tolerance_of,
    write_reference,
)
from mosaic_bench.report.study import Study, read_study
from mosaic_bench.store import State, Store

NORMS = {"servers.cnn.head.weight": 2.0, "servers.cnn.bn.running_var": 3.0, "generator.0.bias": 0.5}
STEP = {"step": 1, "cohort": "c0", "loss": 2.3, "norms": NORMS}
TOLERANT = STEP | {"tolerance": {"generator bias": 0.5}}

KNOWN = CellReference("k", [0.8, 0.78, 0.82, 0.76, 0.84], {"up model": 100}, "p", [TOLERANT])
SAME = Measured("k", 0.8, {"up model": 100}, "p", [STEP])
REFERENCE = Reference("tiny", "0", list("01234"), {"date": "2026-01-01", "revision": "abc"}, {"fedavg": KNOWN})


def drift_of(cell: Measured | str) -> Drift:
    (drift,) = drifts(REFERENCE, {"fedavg": cell})
    return drift


def with_step(**changes: object) -> Measured:
    return replace(SAME, steps=[STEP | changes])


def test_what_is_equal_is_the_same() -> None:
    assert (drift_of(SAME).verdict, drift_of(SAME).farthest) == ("same", 0.0)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (replace(SAME, partition="q"), "partition: clients hold other images"),
        (replace(SAME, bytes={"up model": 101}), "bytes up model: 100, now 101"),
        (replace(SAME, bytes={"up model": 100, "up heads": 8}), "bytes up heads: 0, now 8"),
        (with_step(cohort="c1"), "step 1: another cohort"),
        (with_step(loss=2.31), "step 1: loss: 2.3, now 2.31; apart by 4.3e-03, allowed 1.0e-05"),
        (
            with_step(norms=NORMS | {"servers.cnn.head.weight": 2.0001}),
            "step 1: norm of servers.cnn.head.weight: 2",
        ),
        (with_step(norms=NORMS | {"new.weight": 1.0}), "step 1: norm of new.weight: new"),
        (replace(SAME, steps=[]), "trace: of steps [1], now []"),
        ("diverged: the loss became nan", "is diverged: the loss became nan"),
    ],
)
def test_every_kind_of_change_fails_and_is_told(cell: Measured | str, sentence: str) -> None:
    drift = drift_of(cell)
    assert drift.fails
    assert [change[: len(sentence)] for change in drift.changes] == [sentence]


def test_a_norm_may_drift_by_what_its_group_is_allowed() -> None:
    drift = drift_of(with_step(norms=NORMS | {"generator.0.bias": 0.4, "servers.cnn.head.weight": 2.00001}))
    assert (drift.verdict, drift.farthest) == ("same", pytest.approx(0.5, rel=1e-3))


@pytest.mark.parametrize(("step", "allowed"), [(3, 1e-5), (4, 1e-3)])
def test_norms_are_tight_until_the_third_step(step: int, allowed: float) -> None:
    tolerance = {"generator bias": 0.5, "generator weight": 1e-4}
    record = {"step": step, "tolerance": tolerance}
    names = ("servers.cnn.head.weight", "generator.0.weight", "generator.0.bias", "loss")
    assert [tolerance_of(record, name) for name in names] == [allowed, max(allowed, 1e-4), 0.5, allowed]


def test_accuracy_may_differ_by_the_bound_of_two_runs_at_the_spread_of_the_seeds() -> None:
    """Student's t at 95 % with 4 degrees of freedom is 2.1318, the deviation √0.001: 2.1318·√0.002 = 0.0953."""
    assert KNOWN.tolerance == pytest.approx(0.09534, abs=1e-5)
    assert [drift_of(replace(SAME, accuracy=a)).verdict for a in (0.7, 0.71, 0.89, 0.9)] == [
        "drop",
        "same",
        "same",
        "gain",
    ]
    assert [drift_of(replace(SAME, accuracy=a)).fails for a in (0.7, 0.9)] == [True, False]
    assert drift_of(replace(with_step(loss=9.0), accuracy=0.9)).verdict == "changed, gain"


def test_what_is_no_number_is_never_the_same() -> None:
    assert drift_of(replace(SAME, accuracy=math.nan)).verdict == "drop"
    for loss in (math.nan, math.inf):
        drift = drift_of(with_step(loss=loss))
        assert (drift.verdict, drift.farthest) == ("changed", math.inf)
    assert relative(math.nan, math.nan) == relative(-math.inf, -math.inf) == 0.0
    pairs = [(1.0, math.inf), (math.nan, 1.0), (math.nan, math.inf), (math.inf, -math.inf)]
    assert [relative(*pair) for pair in pairs] == [math.inf] * 4
    assert (relative(4.0, 3.0), relative(0.0, 0.0), relative(-1.0, 1.0)) == (0.25, 0.0, 2.0)


def done(path: Path, seeds: int = 1, **report: object) -> Study:
    """FedAvg, done with one traced step, and DENSE, which can't run."""
    axes = {"algorithm": ["fedavg", "dense"], "seed": [str(seed) for seed in range(seeds)]}
    store = write_study(
        path / "tiny", axes, lambda c: (State.UNSUPPORTED, "no") if c["algorithm"] == "dense" else 0.5, **report
    )
    for number in range(seeds):
        store.cell(f"{number:012x}").write_trace({"partition": "p", "steps": [STEP]})
    return read_study(store)


def test_a_done_cell_without_its_number_has_none(tmp_path: Path) -> None:
    assert measured(done(tmp_path / "a"), "0")["fedavg"] == Measured(
        f"{0:012x}", 0.5, {"up label counts": 240, "up model": 2_700_000, "down model": 3_000_000}, "p", [STEP]
    )
    study = done(tmp_path / "b", seeds=5, headline={"metric": "acc/global@test"})
    cells = measured(study, "0")
    assert cells == {"fedavg": "done without acc/global@test", "dense": "unsupported: no"}
    drift = drift_of(cells["fedavg"])
    assert (drift.verdict, drift.changes) == ("changed, drop", ["is done without acc/global@test"])
    with pytest.raises(
        UserError, match=r"^'fedavg' is done without acc/global@test; a reference is made of cells with"
    ):
        make_reference(study, [], {})


def test_a_new_cell_without_a_number_is_not_passed_over() -> None:
    cells = {"fedavg": SAME, "new": "done without acc/server@test"}
    with pytest.raises(UserError, match="has no 'new'"):
        drifts(REFERENCE, cells)
    assert len(drifts(REFERENCE, cells | {"new": "unsupported: no"})) == 1


def test_a_cell_without_steps_or_a_trace_is_refused(tmp_path: Path) -> None:
    study = done(tmp_path)
    folder = study.results[0].folder
    assert folder is not None
    folder.write_trace({"partition": "p", "steps": []})
    with pytest.raises(UserError, match=r"left no trace to compare; run it again"):
        measured(study, "0")
    (folder.path / "steps.jsonl").write_text("")
    with pytest.raises(UserError, match=r"'fedavg', seed 0, is interrupted; run the suite to its end"):
        measured(read_study(Store(tmp_path / "tiny")), "0")


def test_a_number_that_is_finite_with_some_kernels_only_makes_no_reference(tmp_path: Path) -> None:
    study, probe = done(tmp_path / "a", seeds=5), done(tmp_path / "b", seeds=5)
    assert make_reference(study, [probe], {}).cells["fedavg"].steps[0]["tolerance"] == {}
    folder = probe.results[0].folder
    assert folder is not None
    folder.write_trace({"partition": "p", "steps": [STEP | {"loss": math.inf}]})
    with pytest.raises(UserError, match=r"step 1: loss is 2\.3, with other kernels inf"):
        make_reference(study, [probe], {})


def test_another_cell_and_one_that_the_reference_lacks_are_refused() -> None:
    with pytest.raises(UserError, match=r"settings.*have changed.*--update"):
        drift_of(replace(SAME, key="other"))
    with pytest.raises(UserError, match="has no 'dense'"):
        drifts(REFERENCE, {"dense": SAME})


def test_tensors_of_one_kind_in_one_part_of_the_state_share_a_tolerance() -> None:
    names = ("servers.cnn.bn.running_var", "servers.mlp.x.running_var", "head.bias", "pool.3", "counts")
    assert [group_of(name) for name in names] == [
        "servers running_var",
        "servers running_var",
        "head bias",
        "pool",
        "counts",
    ]


def test_a_reference_is_read_as_it_was_written_and_keeps_its_history(tmp_path: Path) -> None:
    write_reference(tmp_path, REFERENCE, "First.")
    write_reference(tmp_path, REFERENCE, "Second.")
    assert read_reference(tmp_path, "tiny") == REFERENCE
    lines = (tmp_path / "history.md").read_text().splitlines()
    assert lines[2:] == ["* 2026-01-01, tiny, abc: First.", "* 2026-01-01, tiny, abc: Second."]
