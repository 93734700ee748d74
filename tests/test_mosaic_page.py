"""docs/mosaic.md gives what the committed cells of its suites hold, place by place."""

from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from mosaic_bench.report.entry import Entry
from mosaic_bench.store import Store

ROOT = Path(__file__).parents[1]

FEDAVG, HEAD, BLOCKS = "fedavg", "fedavg-statistics", "fedavg-statistics(space=blocks)"
TEACHER, DISTILLED, STUDENT, OWN = "teacher", "distilled", "server", "own head"
SETTINGS = [("fmnist", "alpha=0.01"), ("fmnist", "alpha=0.1"), ("cifar10-small", "alpha=0.1")]

Method = tuple[str, str]  # algorithm and rounds
Model = tuple[Method, str]
Cells = dict[Method, list[dict[str, Any]]]  # last evaluated steps, in the order of seeds
MOSAIC, STATISTICS, GUIDED = ("mosaic", "12"), ("mosaic/statistics", "12"), ("mosaic/guided-rounds", "30")
FIVE = [
    *([(MOSAIC, model)] for model in (TEACHER, DISTILLED, STUDENT)),
    *([(STATISTICS, model)] for model in (TEACHER, DISTILLED, STUDENT)),
    *([(GUIDED, model)] for model in (OWN, STUDENT)),
    *([((algorithm, rounds), STUDENT)] for rounds in ("12", "52") for algorithm in (FEDAVG, HEAD, BLOCKS)),
]
TEN = [
    *([(method, TEACHER)] if alone else [(method, DISTILLED), (method, STUDENT)]
      for method in (MOSAIC, STATISTICS) for alone in (True, False)),
    [(GUIDED, OWN), (GUIDED, STUDENT)],
    *([((algorithm, rounds), STUDENT) for rounds in ("12", "52")] for algorithm in (FEDAVG, HEAD, BLOCKS)),
]  # fmt: skip


@pytest.mark.parametrize(("clients", "accuracies"), [("5", FIVE), ("10", TEN)])
def test_the_large_tables_are_those_of_the_committed_cells(clients: str, accuracies: list[Any]) -> None:
    settings = SETTINGS if clients == "5" else SETTINGS[:2]
    table = _table({"5": "best of three means", "10": "Ten clients"}[clients])
    for column, setting in enumerate(settings):
        cells = _last_steps(clients, *setting)
        assert all(len(seeds) == 5 for seeds in cells.values())
        ensembles = [_accuracy(cells[MOSAIC], f"ensemble{more}") for more in ("", "-weighted", "-logits")]
        sent = [cells[method][0]["ledger"] for method in (MOSAIC, GUIDED, (FEDAVG, "12"), (FEDAVG, "52"))]
        assert [row[column] for row in table] == [
            _written(max(ensembles, key=lambda entry: entry.mean)),
            *(" / ".join(_written(_accuracy(cells[method], model)) for method, model in row) for row in accuracies),
            *(" / ".join(f"{sum(each[f'bytes_{way}'].values()) / 1e6:.0f}" for way in ("down", "up")) for each in sent),
            " / ".join(f"{_seconds(cells[method][0]):.0f}" for method in (MOSAIC, GUIDED, (FEDAVG, "52"))),
        ]


def test_the_differences_are_those_of_the_committed_cells() -> None:
    """In points, and the number of seeds that are ahead."""
    settings = [*product(["5"], SETTINGS), *product(["10"], SETTINGS[:2])]
    cells = [_last_steps(clients, *setting) for clients, setting in settings]
    fedavg, head, blocks = ((FEDAVG, "52"), STUDENT), ((HEAD, "52"), STUDENT), ((BLOCKS, "12"), STUDENT)
    students = [(DISTILLED, head), (STUDENT, head)]
    compared: list[tuple[Model, Model | None]] = [
        *(((MOSAIC, model), other) for model, other in [(TEACHER, None), (DISTILLED, fedavg), (STUDENT, fedavg)]),
        *(((MOSAIC, model), other) for model, other in students),
        *(((STATISTICS, model), other) for model, other in [(TEACHER, None), (TEACHER, blocks), *students]),
        *(((GUIDED, model), other) for model, other in [(OWN, fedavg), (STUDENT, head)]),
        (head, fedavg),
    ]
    expected = [[_ahead(here, one, other) for here in cells] for one, other in compared]
    assert _table("Columns are those of the tables") == expected


def test_the_table_of_the_fusion_is_that_of_the_committed_cells() -> None:
    cells = [_last_steps("5", *setting, suite="mosaic_fusion") for setting in SETTINGS]
    default, longer, oracle = (
        (method, "9") for method in ("mosaic", "mosaic(prototypes_per_class=40, meta_epochs=240)", "mosaic/real-labels")
    )
    assert all(len(here[method]) == 5 for here in cells for method in (default, longer, oracle))
    assert _table("What the fusion lacks, on fresh seeds") == [
        *([_written(_accuracy(here[method], TEACHER)) for here in cells] for method in (default, longer, oracle)),
        *([_ahead(here, (one, TEACHER), (default, TEACHER)) for here in cells] for one in (longer, oracle)),
    ]


def _ahead(cells: Cells, one: Model, other: Model | None) -> str:
    """Mean difference of two models, and in how many seeds the first is ahead; None is the best plain ensemble."""
    ensembles: list[Model] = [(MOSAIC, f"ensemble{more}") for more in ("", "-weighted", "-logits")]
    models = [one, *([other] if other else ensembles)]
    first, *others = ([_value(step, model) for step in cells[method]] for method, model in models)
    second = max(others, key=fmean)
    differences = [100 * (ours - theirs) for ours, theirs in zip(first, second, strict=True)]
    return f"{fmean(differences):.1f} ({sum(each > 0 for each in differences)})".replace("-", "−")


def _table(before: str) -> list[list[str]]:
    """Rows of the first table after these words, without headings and row labels."""
    text = (ROOT / "docs" / "mosaic.md").read_text(encoding="utf-8").partition(before)[2]
    lines = text[text.index("\n|") + 1 :].partition("\n\n")[0].splitlines()
    return [[part.strip() for part in line.strip("|").split("|")][1:] for line in lines[2:]]


def _last_steps(clients: str, dataset: str, alpha: str, suite: str = "mosaic") -> Cells:
    store = Store(ROOT / "results" / "reference" / "mosaic" / suite)
    found: Cells = {}
    for entry in store.suite()["cells"]:
        at = entry["coordinates"]
        here = at["federation.clients"] == clients and at["dataset"].startswith(dataset)
        if here and at["partition"] == f"dirichlet({alpha})":
            method = (at["algorithm"], at["federation.rounds"])
            found.setdefault(method, []).append(store.cell(entry["key"]).steps()[-1])
    return found


def _accuracy(steps: list[dict[str, Any]], model: str) -> Entry:
    return Entry.of([_value(step, model) for step in steps], "std")


def _value(step: dict[str, Any], model: str) -> float:
    return float(step["metrics"][f"acc/{model}@test"])


def _written(entry: Entry) -> str:
    return entry.number + entry.spread


def _seconds(step: dict[str, Any]) -> float:
    return float(step["time"]["client_seconds"] + step["time"]["server_seconds"])
