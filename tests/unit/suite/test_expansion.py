"""From a suite file to its cells: extends, grid, overrides, --set and --only."""

from pathlib import Path

import pytest
from small_suite import SMALL, Load

from mosaic_bench.suite import Suite, SuiteError, load_suite
from mosaic_bench.suite.labels import head, label, without_shared_arguments


def coordinates(suite: Suite) -> list[tuple[str, ...]]:
    return [tuple(planned.coordinates.values()) for planned in suite.cells]


def with_grid(grid: str, rest: str = "") -> str:
    return (
        f"suite: s\ngrid:\n{grid}algorithm: fedavg\ndataset: digits\npartition: iid\nmodels: mlp\n"
        f"federation: {{clients: 2, rounds: 1}}\nlocal: {{steps: 1}}\n"
        f"report: {{tables: [{{rows: seed, columns: null}}]}}\n{rest}"
    )


# -- the grid ---------------------------------------------------------------------------------------------------------


def test_the_grid_is_a_product_whose_last_axis_moves_fastest(load: Load) -> None:
    suite = load()
    dirichlet = "dirichlet(alpha=0.1)"
    assert coordinates(suite) == [
        *(("fedavg", dirichlet, "0"), ("fedavg", dirichlet, "1"), ("fedavg", "iid", "0"), ("fedavg", "iid", "1")),
        *(("dense", dirichlet, "0"), ("dense", dirichlet, "1"), ("dense", "iid", "0"), ("dense", "iid", "1")),
    ]
    assert suite.axes == {"algorithm": ["fedavg", "dense"], "partition": [dirichlet, "iid"], "seed": ["0", "1"]}
    assert suite.cells[0].cell.partition == {"dirichlet": {"alpha": 0.1}}
    assert suite.cells[7].cell.partition == {"iid": {}}


def test_zipped_lists_advance_together(load: Load) -> None:
    suite = load(with_grid("  seed: [0, 1]\n  zip: {federation.clients: [2, 4], local.lr: [0.1, 0.2]}\n"))
    assert coordinates(suite) == [("0", "2", "0.1"), ("0", "4", "0.2"), ("1", "2", "0.1"), ("1", "4", "0.2")]
    assert [(c.cell.federation.clients, c.cell.local.lr) for c in suite.cells[:2]] == [(2, 0.1), (4, 0.2)]


def test_exclude_removes_combinations_by_name(load: Load) -> None:
    grid = (
        "  seed: [0, 1]\n  partition: [{dirichlet: {alpha: 0.1}}, iid]\n  exclude: [{partition: dirichlet, seed: 1}]\n"
    )
    assert coordinates(load(with_grid(grid))) == [("0", "dirichlet(alpha=0.1)"), ("0", "iid"), ("1", "iid")]


def test_an_axis_inside_another_one_is_applied_after_it_whatever_the_order(load: Load) -> None:
    suite = load(with_grid("  seed: [0]\n  dataset.train: [100, 200]\n  dataset: [digits, toy2d]\n"))
    assert [(c.cell.dataset.name, c.cell.dataset.train) for c in suite.cells] == [
        ("digits", 100),
        ("toy2d", 100),
        ("digits", 200),
        ("toy2d", 200),
    ]


def test_scalars_are_yaml_1_2(load: Load) -> None:
    suite = load(SMALL.replace("{steps: 2}", "{steps: 2, lr: 1e-4}").replace("suite: small", "suite: on"))
    assert suite.cells[0].cell.local.lr == 1e-4
    assert suite.name == "on"


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("1.5m", 90), ("6h", 21600), ("2d", 172800), ("45", 45), ("null", None)]
)
def test_durations(load: Load, written: str, seconds: float | None) -> None:
    assert load(SMALL + f"run: {{timeout: {written}}}\n").run.timeout == seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("fedavg", "fedavg"),
        (0, "0"),
        (1e-4, "0.0001"),
        ({"name": "fmnist", "train": 6000}, "fmnist(train=6000)"),
        ({"name": "dense", "params": {"kd": 1, "lr": 0.5}}, "dense(kd=1, lr=0.5)"),
        ({"name": "dense", "params": None}, "dense"),
        ({"dirichlet": {"alpha": 0.1}}, "dirichlet(alpha=0.1)"),
        ({"dirichlet": None}, "dirichlet"),
        ({"rounds": 2}, "(rounds=2)"),
        (["resnet8", "cnn"], "resnet8/cnn"),
        ({"arch": "resnet18", "widths": {"rho": 5, "sigma": 4}}, "resnet18(widths=(rho=5, sigma=4))"),
        ({"arch": ["resnet8", "cnn"], "assign": [0, 1]}, "resnet8/cnn(assign=0/1)"),
    ],
)
def test_labels(value: object, expected: str) -> None:
    assert label(value) == expected


def test_the_head_of_a_label_is_its_name() -> None:
    assert [head(text) for text in ("dirichlet(alpha=0.1)", "iid", "(a=1)")] == ["dirichlet", "iid", "(a=1)"]


# -- extends ----------------------------------------------------------------------------------------------------------


def test_extends_merges_mappings_and_the_nearer_file_wins(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "grid: {seed: [0, 1, 2], partition: [iid]}\nmodels: {arch: mlp, norm: group}\n"
        "federation: {clients: 4, rounds: 9}\ndataset: {name: fmnist, train: 500}\n"
    )
    (tmp_path / "second.yaml").write_text("federation: {rounds: 5}\nlocal: {steps: 2, lr: 0.5}\n")
    suite = load(
        "extends: [base.yaml, second.yaml]\nsuite: s\ngrid: {algorithm: [fedavg], seed: [7]}\nlocal: {lr: 0.1}\n"
        "dataset: digits\n"
    )
    assert suite.axes == {"seed": ["7"], "partition": ["iid"], "algorithm": ["fedavg"]}
    cell = suite.cells[0].cell
    assert (cell.federation.clients, cell.federation.rounds) == (4, 5)
    assert (cell.local.steps, cell.local.lr, cell.models.norm) == (2, 0.1, "group")
    assert (cell.dataset.name, cell.dataset.train) == ("digits", None)  # another data set, not a mixture of two


def test_a_nearer_epochs_replaces_steps_but_giving_both_in_one_file_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SMALL)
    local = load("extends: base.yaml\nlocal: {epochs: 3}\n").cells[0].cell.local
    assert (local.steps, local.epochs) == (None, 3)
    with pytest.raises(SuiteError, match=r"suite.yaml:2: local: give either steps or epochs"):
        load("extends: base.yaml\nlocal: {epochs: 3, steps: 1}\n")


def test_a_fault_in_an_extended_file_names_that_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("title: t\nfederation: {clients: none}\n")
    with pytest.raises(SuiteError, match=r"^base.yaml:2: federation.clients should be a valid integer, got 'none'$"):
        load("extends: base.yaml\n" + SMALL.replace("{clients: 4, rounds: 3}", "{rounds: 3}"))


def test_files_that_extend_each_other_in_a_circle_are_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("title: t\nextends: suite.yaml\n")
    with pytest.raises(SuiteError, match=r"^base.yaml:2: extends goes in a circle: .*suite.yaml -> .*base.yaml -> "):
        load("extends: base.yaml\n" + SMALL)


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("nowhere.yaml", "suite.yaml:1: extends: there is no file nowhere.yaml"),
        ("3", "suite.yaml:1: extends should be a file name or a list of them, got 3"),
        ("{a: b}", "suite.yaml:1: extends should be a file name or a list of them, got {'a': 'b'}"),
        ("", "suite.yaml:1: extends should be a file name or a list of them, got None"),
    ],
)
def test_extends_that_is_no_file_is_refused(load: Load, extends: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load(f"extends: {extends}\n{SMALL}")
    assert str(caught.value) == message


# -- overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "matching"),
    [
        ("{algorithm: dense}", {("dense", "dirichlet(alpha=0.1)"), ("dense", "iid")}),
        ("{partition: dirichlet}", {("fedavg", "dirichlet(alpha=0.1)"), ("dense", "dirichlet(alpha=0.1)")}),
        ("{partition: dirichlet(alpha=0.1)}", {("fedavg", "dirichlet(alpha=0.1)"), ("dense", "dirichlet(alpha=0.1)")}),
        ("{partition: {dirichlet: {alpha: 0.1}}, algorithm: fed*}", {("fedavg", "dirichlet(alpha=0.1)")}),
        ("{algorithm: [dense, fedavg], partition: iid}", {("fedavg", "iid"), ("dense", "iid")}),
        ("{seed: 3}", set()),
    ],
)
def test_overrides_apply_where_their_condition_holds(load: Load, when: str, matching: set[tuple[str, str]]) -> None:
    suite = load(SMALL + f"overrides:\n  - {{when: {when}, set: {{local.lr: 0.7}}}}\n")
    changed = {(c.coordinates["algorithm"], c.coordinates["partition"]) for c in suite.cells if c.cell.local.lr == 0.7}
    assert changed == matching


def test_later_overrides_win_and_epochs_replaces_steps(load: Load) -> None:
    overrides = "overrides:\n  - {set: {local.lr: 0.1, local.epochs: 5}}\n  - {when: {seed: 1}, set: {local.lr: 0.2}}\n"
    cells = [c.cell for c in load(SMALL + overrides).cells]
    assert [(c.local.lr, c.local.epochs, c.local.steps) for c in cells[:2]] == [(0.1, 5, None), (0.2, 5, None)]


@pytest.mark.parametrize(
    ("override", "params"),
    [
        ("algorithm.params.kd: 4", [{"kd": 4}, {"kd": 9}, {"kd": 4, "lr": 1}]),
        (
            "algorithm.params: {kd: 4, beta: 2}",
            [{"kd": 4, "beta": 2}, {"kd": 9, "beta": 2}, {"kd": 4, "beta": 2, "lr": 1}],
        ),
    ],
)
def test_what_the_grid_spells_out_is_stronger_than_overrides(load: Load, override: str, params: list[object]) -> None:
    """A label says it, so the cell has it; what the label leaves open comes from the override."""
    values = "[dense, {name: dense, params: {kd: 9}}, {name: dense, params: {lr: 1}}]"
    text = SMALL.replace("algorithm: [fedavg, dense]", f"algorithm: {values}").replace("seed: [0, 1]", "seed: [0]")
    cells = load(text + f"overrides: [{{when: {{algorithm: dense}}, set: {{{override}}}}}]\n").cells
    found = {planned.coordinates["algorithm"]: planned.cell.algorithm.params for planned in cells}
    assert found == dict(zip(["dense", "dense(kd=9)", "dense(lr=1)"], params, strict=True))


def test_an_override_cannot_change_a_name_or_an_alpha_that_the_grid_gives(load: Load) -> None:
    keys = "partition.dirichlet.alpha: 100, algorithm.name: dense"
    text = SMALL.replace("[{dirichlet: {alpha: 0.1}}, iid]", "[{dirichlet: {alpha: 0.1}}]")
    for planned in load(text + f"overrides: [{{set: {{{keys}}}}}]\n").cells:
        assert planned.cell.partition == {"dirichlet": {"alpha": 0.1}}
        assert planned.cell.algorithm.name == planned.coordinates["algorithm"]


def test_dotted_keys_write_out_short_forms(load: Load) -> None:
    keys = "dataset.train: 99, models.norm: group, federation.public.fraction: 0.2, algorithm.params.kd: 1"
    text = SMALL.replace("rounds: 3", "rounds: 3, public: null").replace("[{dirichlet: {alpha: 0.1}}, iid]", "[iid]")
    cell = load(text + f"overrides:\n  - {{set: {{{keys}}}}}\n").cells[0].cell
    assert (cell.dataset.name, cell.dataset.train) == ("digits", 99)
    assert (cell.models.arch, cell.models.norm) == ("mlp", "group")
    assert cell.federation.public is not None
    assert cell.federation.public.fraction == 0.2
    assert (cell.algorithm.name, cell.algorithm.params) == ("fedavg", {"kd": 1})


def test_a_partition_named_alone_takes_parameters(load: Load) -> None:
    text = SMALL.replace("  partition: [{dirichlet: {alpha: 0.1}}, iid]\n", "") + "partition: dirichlet\n"
    assert load(text, ("partition.dirichlet.alpha=0.3",)).cells[0].cell.partition == {"dirichlet": {"alpha": 0.3}}


# -- --set ------------------------------------------------------------------------------------------------------------


def test_set_is_stronger_than_overrides(load: Load) -> None:
    suite = load(SMALL + "overrides: [{set: {local.lr: 0.1}}]\n", ("local.lr=0.9", "run.threads=2", "suite=other"))
    assert {c.cell.local.lr for c in suite.cells} == {0.9}
    assert (suite.run.threads, suite.name) == (2, "other")


def test_set_replaces_an_axis_of_the_grid(load: Load) -> None:
    assert load(sets=("grid.seed=[5]",)).axes["seed"] == ["5"]
    zipped = with_grid("  seed: [0]\n  zip: {local.lr: [1, 2]}\n")
    assert load(zipped, ("grid.zip.local.lr=[3]",)).axes["local.lr"] == ["3"]


@pytest.mark.parametrize(
    ("text", "setting", "message"),
    [
        (
            SMALL,
            "seed=3",
            "--set seed: 'seed' is an axis of the grid; "
            "use --only seed=VALUE to pick from it or --set grid.seed=[...] to replace it",
        ),
        (SMALL, "algorithm.params.lr=1", "--set algorithm.params.lr: 'algorithm' is an axis of the grid; use --only"),
        (with_grid("  seed: [0]\n  local.lr: [1, 2]\n"), "local={}", "--set local: 'local.lr' is an axis of the grid;"),
        (
            with_grid("  zip: {seed: [0], local.lr: [1]}\n"),
            "local.lr=3",
            "--set local.lr: 'local.lr' is an axis of the grid; "
            "use --only local.lr=VALUE to pick from it or --set grid.zip.local.lr=[...] to replace it",
        ),
        (SMALL, "local.lr", "--set local.lr: expected key=value, such as local.lr=0.02"),
        (SMALL, "local..lr=1", "--set local..lr=1: expected key=value, such as local.lr=0.02"),
        (SMALL, "local.lr=[1", "--set local.lr=[1: the value is not valid YAML"),
        (SMALL, "local.lr=fast", "--set local.lr: local.lr should be a valid number, got 'fast'"),
        (SMALL, "local.lrr=1", "--set local.lrr: unknown key 'lrr'; did you mean 'lr'?"),
        (SMALL, "rnu.threads=1", "--set rnu.threads: unknown key 'rnu'; did you mean 'run'?"),
        (SMALL, "run.thread=1", "--set run.thread: unknown key 'thread'; did you mean 'threads'?"),
        (SMALL, "suite.name=x", "--set suite.name: 'suite' is not a section"),
        (SMALL, "grid.seed=0", "--set grid.seed: grid.seed should be a list of values, got 0"),
        (SMALL, "grid.seed=[]", "--set grid.seed: grid.seed is empty; give it at least one value or remove it"),
    ],
)
def test_a_wrong_set_is_named(load: Load, text: str, setting: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load(text, (setting,))
    assert str(caught.value).startswith(message)


# -- --only -----------------------------------------------------------------------------------------------------------


def wanted(suite: Suite) -> list[tuple[str, ...]]:
    return [tuple(c.coordinates.values()) for c in suite.cells if c.wanted]


@pytest.mark.parametrize(
    ("only", "cells"),
    [
        (("algorithm=dense,partition=iid,seed=1",), [("dense", "iid", "1")]),
        (("algorithm=dense,seed=0", "partition=iid"), [("dense", "iid", "0")]),
        (("seed=0", "seed=1", "algorithm=fedavg,partition=iid"), [("fedavg", "iid", "0"), ("fedavg", "iid", "1")]),
        (("algorithm=fedavg,seed=0,1,partition=iid",), [("fedavg", "iid", "0"), ("fedavg", "iid", "1")]),
        (("partition=dirichlet(alpha=0.1),algorithm=d*,seed=0",), [("dense", "dirichlet(alpha=0.1)", "0")]),
        (("partition=dirichlet,algorithm=dense,seed=0",), [("dense", "dirichlet(alpha=0.1)", "0")]),
    ],
)
def test_only_narrows_between_axes_and_widens_within_one(
    load: Load, only: tuple[str, ...], cells: list[tuple[str, ...]]
) -> None:
    suite = load(only=only)
    assert wanted(suite) == cells
    assert len(suite.cells) == 8  # the others stay in the grid, so that tables keep their places


def test_only_takes_a_label_for_that_alone_and_a_pattern_for_all_that_it_fits(load: Load) -> None:
    values = "[dense, {name: dense, params: {kd: 9}}]"
    text = SMALL.replace("algorithm: [fedavg, dense]", f"algorithm: {values}")
    for only, labels in {
        "dense": {"dense"},
        "dense(kd=9)": {"dense(kd=9)"},
        "dense*": {"dense", "dense(kd=9)"},
        "dens?": {"dense", "dense(kd=9)"},
    }.items():
        assert {c[0] for c in wanted(load(text, only=(f"algorithm={only}",)))} == labels


def test_only_takes_any_label_that_is_shown(load: Load) -> None:
    models = "{arch: mlp, extract: rolling, widths: {rho: 5, sigma: 4}}"
    text = with_grid(f"  models: [{models}, mlp]\n  seed: [0]\n")
    for text_label in load(text).axes["models"]:
        assert text_label in {c[0] for c in wanted(load(text, only=(f"models={text_label},seed=0",)))}


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("algoritm=dense", "--only: 'algoritm' is not an axis of this grid; did you mean 'algorithm'?"),
        ("algorithm=dens", "--only: algorithm has no value 'dens'; did you mean 'dense'?"),
        ("seed=9", "--only: seed has no value '9'; known: 0, 1"),
        ("dense", "--only dense: expected axis=value, such as algorithm=fedavg,seed=0"),
    ],
)
def test_a_wrong_only_is_named(load: Load, only: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load(only=(only,))
    assert str(caught.value) == message


def test_only_that_picks_an_excluded_combination_matches_nothing(load: Load) -> None:
    grid = "  seed: [0, 1]\n  partition: [shards, iid]\n  exclude: [{partition: iid, seed: 1}]\n"
    with pytest.raises(SuiteError, match=r"^--only seed=1,partition=iid: no cell of the suite matches$"):
        load(with_grid(grid), only=("seed=1,partition=iid",))


def test_a_cell_knows_where_each_of_its_parts_was_written(load: Load) -> None:
    suite = load(
        SMALL.replace("[{dirichlet: {alpha: 0.1}}, iid]", "\n    - dirichlet:\n        alpha: 0.1\n    - iid")
        + "overrides:\n  - set:\n      algorithm.params:\n        kd: 1\n        lr: 2\n"
    )
    cell = suite.cells[0]
    assert cell.where(("partition", "dirichlet", "alpha")) == "suite.yaml:6"
    assert cell.where(("partition", "dirichlet", "scheme")) == "suite.yaml:5"
    assert cell.where(("dataset", "name")) == "suite.yaml:9"
    assert cell.where(("algorithm", "params", "lr")) == "suite.yaml:17"
    assert cell.where(("evaluate", "every")) == "suite.yaml:1"


def test_a_suite_is_found_by_the_path_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nowhere.yaml: cannot read the suite file \(No such file or directory\)"):
        load_suite(tmp_path / "nowhere.yaml")


def test_labels_lose_the_parameters_that_all_of_them_share() -> None:
    labels = ["cnn(norm=none, widths=(rho=5, sigma=4), extract=static)", "cnn(norm=none, widths=(rho=5, sigma=4))"]
    short, shared = without_shared_arguments(labels)
    assert list(short.values()) == ["cnn(extract=static)", "cnn"]
    assert shared == ["norm=none", "widths=(rho=5, sigma=4)"]
    assert without_shared_arguments(["fedavg", "dense(T=2)"]) == ({"fedavg": "fedavg", "dense(T=2)": "dense(T=2)"}, [])
