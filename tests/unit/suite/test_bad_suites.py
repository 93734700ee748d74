"""Every fault of a suite file is one line that names the file, the line, and what was expected."""

import pytest
from small_suite import SMALL, Load

from mosaic_bench.suite import SuiteError


def fault(load: Load, text: str) -> str:
    with pytest.raises(SuiteError) as caught:
        load(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # unknown keys, at each level
        ("titel: x", "suite.yaml:10: unknown key 'titel'; did you mean 'title'?"),
        ("evaluate: {evry: 2}", "suite.yaml:10: unknown key 'evry'; did you mean 'every'?"),
        ("run: {timeuot: 3}", "suite.yaml:10: unknown key 'timeuot'; did you mean 'timeout'?"),
        ("report: {headline: {rul: last}}", "suite.yaml:10: unknown key 'rul'; did you mean 'rule'?"),
        ("report: {tables: [{row: seed}]}", "suite.yaml:10: unknown key 'row'; did you mean 'rows'?"),
        ("overrides: [{wen: {}, set: {}}]", "suite.yaml:10: unknown key 'wen'; did you mean 'when'?"),
        # wrong types and values
        ("run: {threads: 0}", "suite.yaml:10: run.threads should be greater than or equal to 1, got 0"),
        ("run: {threads: true}", "suite.yaml:10: run.threads should be a valid integer, got True"),
        ("run: {threads: '2'}", "suite.yaml:10: run.threads should be a valid integer, got '2'"),
        ("run: {isolation: on}", "suite.yaml:10: run.isolation should be 'process' or 'none', got 'on'"),
        (
            "run: {timeout: 6x}",
            "suite.yaml:10: run.timeout: expected seconds, or a duration such as 90s, 30m or 6h, got '6x'",
        ),
        ("run: 3", "suite.yaml:10: run should be a mapping, got 3"),
        ("overrides: {set: {}}", "suite.yaml:10: overrides should be a valid list, got {'set': {}}"),
        ("overrides: [{when: {seed: 0}}]", "suite.yaml:10: 'overrides[0].set' is required"),
        ("report: {tables: [{mark: [bst]}]}", "suite.yaml:10: report.tables[0].mark[0] should be 'best' or 'second'"),
        (
            "report: {headline: {metric: nll/server@test}}",
            "suite.yaml:10: report.headline.metric should be of the form",
        ),
        ("evaluate: {every: 2.0}", "suite.yaml:10: evaluate.every should be a valid integer, got 2.0"),
        # overrides and reports that do not fit the grid
        ("overrides: [{when: {sed: 0}, set: {}}]", "suite.yaml:10: 'sed' is not an axis of this grid; did you mean"),
        ("overrides: [{set: {locl.lr: 1}}]", "suite.yaml:10: 'locl' is not part of a cell; did you mean 'local'?"),
        (
            "overrides: [{when: {seed: 9}, set: {run.threads: 1}}]",
            "suite.yaml:10: 'run' is not part of a cell; known: algorithm, dataset",
        ),
        ("overrides: [{set: {seed: 1}}]", "suite.yaml:10: 'seed' is an axis of the grid; change its values there"),
        ("overrides: [{set: {federation.clients.x: 1}}]", "suite.yaml:10: 'federation.clients' is not a section"),
        (
            "report: {tables: [{rows: algoritm}]}",
            "suite.yaml:10: rows of table 'main': 'algoritm' is not an axis of this grid; did you mean 'algorithm'?",
        ),
        (
            "report: {tables: [{columns: [partition, sead]}]}",
            "suite.yaml:10: columns of table 'main': 'sead' is not an axis of this grid; did you mean 'seed'?",
        ),
        (
            "report: {tables: [{columns: [seed]}]}",
            "suite.yaml:10: table 'main' has no place for axis 'partition'; add it to columns",
        ),
        ("report: {tables: [{}, {}]}", "suite.yaml:10: two tables are called 'main'; give each a name"),
        (
            "report: {headline: {rule: best_on_validation}}",
            "suite.yaml:10: best_on_validation needs validation images; set federation.validation",
        ),
        (
            "report: {headline: {metric: acc/server@local}}",
            "suite.yaml:10: acc/server@local needs test images of each client; set evaluate.local",
        ),
        (
            "report: {tables: [{headline: {metric: acc/server@local}}]}",
            "suite.yaml:10: acc/server@local needs test images of each client; set evaluate.local",
        ),
        ("evaluate: {local: all}", "suite.yaml:10: evaluate.local should be 'none', 'global' or 'own', got 'all'"),
        # YAML itself
        ("local: {}", "suite.yaml:10: not valid YAML: found duplicate key"),
        ("title: a: b", "suite.yaml:10: not valid YAML: mapping values are not allowed here"),
        ("title: {{ x }}", "suite.yaml:10: not valid YAML: found unhashable key"),
        ("\ttitle: x", "suite.yaml:10: not valid YAML: found character"),
        ("title: 2020-13-45", "suite.yaml: not valid YAML: month must be in 1..12"),
        ("title: !!float abc", "suite.yaml: not valid YAML: could not convert string to float: 'abc'"),
        ("title: &loop [*loop]", "suite.yaml: not a suite: an anchor contains itself"),
        ("1: x", "suite.yaml:1: key 1 should be text; write it in quotes"),
    ],
)
def test_a_wrong_line_at_the_end(load: Load, line: str, message: str) -> None:
    assert fault(load, f"{SMALL}{line}\n").startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # the grid
        ("  seed: [0, 1]", "  seed: []", "suite.yaml:5: grid.seed is empty; give it at least one value or remove it"),
        ("  seed: [0, 1]", "  seed: 0", "suite.yaml:5: grid.seed should be a list of values, got 0"),
        ("  seed: [0, 1]", "  seeds: [0]", "suite.yaml:5: 'seeds' is not part of a cell; did you mean 'seed'?"),
        ("  seed: [0, 1]", "  seed: [0, 1, 0]", "suite.yaml:5: grid.seed lists '0' twice"),
        ("  seed: [0, 1]", "  seed: [0, -1]", "suite.yaml:5: seed should be greater than or equal to 0, got -1"),
        (
            "  seed: [0, 1]",
            "  zip: [seed]",
            "suite.yaml:5: grid.zip should be a mapping of axes to lists",
        ),
        ("  seed: [0, 1]", "  zip: {seed: []}", "suite.yaml:5: grid.seed is empty"),
        (
            "  seed: [0, 1]",
            "  zip: {seed: [0, 1], local.lr: [1]}",
            "suite.yaml:5: zipped lists differ in length: seed 2, local.lr 1",
        ),
        (
            "  seed: [0, 1]",
            "  zip: {seed: [0, 0, 0], local.lr: [0.1, 0.2, 0.1]}",
            "suite.yaml:5: grid.zip lists '0 · 0.1' twice",
        ),
        ("  seed: [0, 1]", "  zip: {algorithm: [x]}", "suite.yaml:5: 'algorithm' is an axis of the grid already"),
        ("  seed: [0, 1]", "  exclude: {seed: 0}", "suite.yaml:5: grid.exclude should be a list of mappings such as"),
        ("  seed: [0, 1]", "  exclude: [dense]", "suite.yaml:5: grid.exclude should be a list of mappings such as"),
        ("  seed: [0, 1]", "  exclude: [{sede: 0}]", "suite.yaml:5: 'sede' is not an axis of this grid; known: algo"),
        ("  seed: [0, 1]", "  exclude: [{algorithm: '*'}]", "suite.yaml:5: grid.exclude leaves no cell"),
        # sections of a cell
        ("federation: {clients: 4, rounds: 3}", "federation: {rounds: 3}", "suite.yaml:8: 'federation.clients' is re"),
        ("federation: {clients: 4, rounds: 3}", "federation: 3", "suite.yaml:8: federation should be a mapping, got 3"),
        ("federation: {clients: 4,", "federation: {clients: four,", "suite.yaml:8: federation.clients should be a va"),
        ("rounds: 3", "round: 3, rounds: 3", "suite.yaml:8: unknown key 'round'; did you mean 'rounds'?"),
        ("rounds: 3", "rounds: 3, participation: 0", "suite.yaml:8: federation.participation should be greater than 0"),
        ("rounds: 3", "rounds: 3, public: {form: x}", "suite.yaml:8: unknown key 'form'; did you mean 'from'?"),
        ("dataset: digits\n", "", "suite.yaml:1: 'dataset' is required"),
        ("dataset: digits", "dataset: {train: 5}", "suite.yaml:6: 'dataset.name' is required"),
        ("dataset: digits", "dataset: {name: digits, LR: 5}", "suite.yaml:6: unknown key 'LR'; known: name, test, t"),
        ("local: {steps: 2}", "local: {}", "suite.yaml:9: local: give either steps or epochs"),
        (
            "local: {steps: 2}",
            "local: {steps: 1, epochs: 1}",
            "suite.yaml:9: local: give either steps or epochs",
        ),
        ("{steps: 2}", "{steps: 2, lr: .inf}", "suite.yaml:9: local.lr should be a finite number, got inf"),
        ("models: mlp", "models: {arch: mlp, nrom: group}", "suite.yaml:7: unknown key 'nrom'; did you mean 'norm'?"),
        (
            "models: mlp",
            "models: {arch: 3}",
            "suite.yaml:7: models.arch should be a valid string or a valid list",
        ),
        (
            "models: mlp",
            "models: {arch: mlp, widths: [1.0, 0.5]}",
            "suite.yaml:7: models.widths: 2 entries for 4 clients; give one per client",
        ),
        (
            "models: mlp",
            "models:\n  arch: [mlp, cnn]\n  assign: [0, 1]",
            "suite.yaml:9: models.assign: 2 entries for 4 clients; give one per client",
        ),
        (
            "models: mlp",
            "models: {arch: [mlp, cnn], assign: [0, 1, 2, 0]}",
            "suite.yaml:7: models.assign: an index points beyond the list of architectures",
        ),
        (
            "models: mlp",
            "models:\n  arch: mlp\n  batch_statistics: recalibrate",
            "suite.yaml:9: models.batch_statistics: recalibrate needs public images; set federation.public",
        ),
        (
            "models: mlp",
            "models: {arch: mlp, widths: {rho: 5, sigm: 4}}",
            "suite.yaml:7: 'models.widths.sigma' is required\nsuite.yaml:7: unknown key 'sigm'; did you mean 'sigma'?",
        ),
        (
            "models: mlp",
            "models: {arch: mlp, widths: [1, 1, 2, 1]}",
            "suite.yaml:7: models.widths[2] should be less",
        ),
        # inside values of the grid
        (
            "[{dirichlet: {alpha: 0.1}}, iid]",
            "\n    - iid\n    - {dirichlet: {alpha: 1}, iid: {}}",
            "suite.yaml:6: partition: expected one scheme, such as {dirichlet: {alpha: 0.1}}, got 2",
        ),
        (
            "[{dirichlet: {alpha: 0.1}}, iid]",
            "\n    - iid\n    - {dirichlet: 0.1}",
            "suite.yaml:6: partition.dirichlet should be a mapping, got 0.1",
        ),
        (
            "[fedavg, dense]",
            "\n    - fedavg\n    - name: dense\n      parms: {}",
            "suite.yaml:6: unknown key 'parms'; did you mean 'params'?",
        ),
        (
            "[fedavg, dense]",
            "[{name: dense, params: }]",
            "suite.yaml:3: algorithm.params should be a mapping",
        ),
        # the top
        ("suite: small\n", "", "suite.yaml:1: 'suite' is required"),
        ("suite: small", "suite: ../up", "suite.yaml:1: suite should be of the form '^[A-Za-z0-9_-]+$', got '../up'"),
    ],
)
def test_a_wrong_part(load: Load, old: str, new: str, message: str) -> None:
    assert old in SMALL
    assert fault(load, SMALL.replace(old, new)).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite: s\ngrid: {}\n", "suite.yaml:2: the grid is empty; give it at least one axis"),
        ("suite: s\ngrid: {zip: {}}\n", "suite.yaml:2: the grid is empty; give it at least one axis"),
        ("suite: s\ngrid:\n", "suite.yaml:2: grid should be a mapping, got None"),
        ("suite: s\n", "suite.yaml:1: 'grid' is required"),
        ("", "suite.yaml:1: a suite is a mapping with at least 'suite' and 'grid'"),
        ("- a\n- b\n", "suite.yaml:1: a suite is a mapping with at least 'suite' and 'grid'"),
    ],
)
def test_a_file_that_is_hardly_a_suite(load: Load, text: str, message: str) -> None:
    assert fault(load, text) == message


def test_all_faults_are_told_at_once_and_each_one_once(load: Load) -> None:
    text = SMALL.replace("{steps: 2}", "{steps: 2, batch: 1}").replace("models: mlp", "models: {arch: mlp, norm: x}")
    assert fault(load, text).splitlines() == [
        "suite.yaml:7: models.norm should be 'batch', 'group' or 'none', got 'x'",
        "suite.yaml:9: local.batch should be greater than or equal to 2, got 1",
    ]


def test_a_table_over_a_parameter_that_an_override_sets(load: Load) -> None:
    """Labels would say `static` of cells that roll."""
    text = SMALL.replace("models: mlp\n", "").replace("  seed: [0, 1]", "  models: [mlp, cnn]\n  seed: [0]")
    overridden = f"{text}overrides: [{{when: {{models: cnn}}, set: {{models.extract: rolling}}}}]\n"
    table = "report: {tables: [{columns: [partition, models, models.extract]}]}\n"
    assert fault(load, overridden + table) == (
        "suite.yaml:11: columns of table 'main': 'models.extract' is set by an override (suite.yaml:10), which labels "
        "do not show; write it into the values of axis 'models'"
    )
    spelled = overridden.replace("models: [mlp, cnn]", "models: [mlp, {arch: cnn, extract: static}]")
    assert load(spelled + table).cells[-1].cell.models.extract == "static"  # what the grid spells out wins
    assert load(overridden).axes["models"] == ["mlp", "cnn"]
    as_mapping = (
        SMALL.replace("dense", "fedprox")
        + "overrides: [{when: {algorithm: fedprox}, set: {algorithm.params: {mu: 1}}}]\n"
    )
    told = fault(load, as_mapping + "report: {tables: [{rows: [algorithm, algorithm.mu]}]}\n")
    assert told.startswith("suite.yaml:11: rows of table 'main': 'algorithm.mu' is set by an override (suite.yaml:10)")
    assert load(text + table).axes["models"] == ["mlp", "cnn"]
