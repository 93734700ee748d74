"""The tables and examples of docs/ say what the code does."""

import ast
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
from support import describe, forget_plugin, jobs_of, run_until
from typer.main import get_command

from mosaic_bench.cli import app
from mosaic_bench.data.catalog import CATALOG
from mosaic_bench.engine.algorithms import algorithm_names, find_algorithm, load_plugins
from mosaic_bench.models import ARCHITECTURES, build, width_ratios
from mosaic_bench.report.entry import Entry
from mosaic_bench.store import State, Store
from mosaic_bench.suite import PlotSpec, TableSpec, find_suite, load_suite

DOCS = Path(__file__).parents[1] / "docs"


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The table below a heading: first column without backquotes -> the other columns."""
    text = (DOCS / page).read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_data_set_is_in_the_table_with_its_numbers() -> None:
    table = rows("data.md", "Catalog")
    for name, record in CATALOG.items():
        megabytes = sum(file.size for file in record.files) / 1e6
        assert table[name][:4] == [
            f"{record.size}×{record.size}×{record.channels}",
            str(record.num_classes),
            f"{record.train:,}",
            f"{record.test:,}",
        ]
        assert table[name][5].startswith(f"{megabytes:,.0f} MB" if megabytes else "none")


def test_every_algorithm_is_in_the_table_with_what_it_uses_beside_weights() -> None:
    table = rows("algorithms.md", "Built in")
    algorithms = map(find_algorithm, algorithm_names())
    built_in = [each for each in algorithms if each.__module__.startswith("baselines.")]  # other tests register theirs
    for algorithm in built_in:
        if not algorithm.name.startswith("mosaic/"):
            assert table[algorithm.name][1] == ", ".join(sorted(algorithm.reveals)), algorithm.name
    variants = sum(algorithm.name.startswith("mosaic/") for algorithm in built_in)
    assert f"; {variants} named variants of it" in table["mosaic"][0]


@pytest.mark.parametrize(
    ("suite", "heading", "columns"),
    [("baselines", "Equal rounds", (2, 5)), ("baselines-one-shot", "One upload", (0, 2))],
)
def test_the_page_on_baselines_gives_the_reference_results(suite: str, heading: str, columns: tuple[int, int]) -> None:
    """Mean accuracy after the last step, in %, of every row with results, as `tables` prints it."""
    store = Store(DOCS.parent / "results" / "reference" / "baselines" / suite)
    found: dict[tuple[str, str], list[float]] = {}
    for entry in store.suite()["cells"]:
        folder, at = store.cell(entry["key"]), entry["coordinates"]
        if folder.status().state is State.DONE:
            name = (at["algorithm"], at["dataset"].partition("(")[0])
            found.setdefault(name, []).append(folder.steps()[-1]["metrics"]["acc/server@test"])
    titles = store.suite()["titles"] | {"fedftg(batch_norm=batch)": "FedFTG, `batch_norm: batch`"}
    table = rows("baselines.md", heading)
    assert found
    for (algorithm, dataset), accuracies in found.items():
        column = columns[["fmnist", "cifar10-small"].index(dataset)]
        assert table[titles[algorithm].strip("`")][column].split(" ± ")[0] == Entry.of(accuracies, "none").number


def test_every_architecture_is_in_the_table_with_its_parameters() -> None:
    table = rows("models.md", "Zoo")
    for name in ARCHITECTURES:
        model = build(name, channels=3, size=32, classes=10)
        parameters = sum(tensor.numel() for tensor in model.parameters())
        assert table[name][1:] == [f"{model.feature_width:,}", f"{parameters:,}"]


def test_the_papers_grids_have_the_cells_that_the_page_says() -> None:
    table = {name: row for name, row in rows("paper.md", "Suites").items() if set(name) - set("-") and name != "suite"}
    assert {name: f"{len(load_suite(find_suite(Path(name))).cells):,}" for name in table} == {
        name: row[1] for name, row in table.items()
    }
    assert len(table) == 6


@pytest.mark.parametrize("rho", [5, 10, 20])
def test_the_width_rule_gives_the_tables_ratios(rho: int) -> None:
    ratios = rows("models.md", "Width slices")[f"{{rho: {rho}, sigma: 4}}"][0]
    assert [float(Fraction(ratio)) for ratio in ratios.split(",")] == width_ratios(10, rho, 4)


def test_every_preset_and_every_kind_of_figure_is_described() -> None:
    assert set(get_args(TableSpec.model_fields["preset"].annotation)) <= set(rows("reports.md", "Tables"))
    described = {kind.strip("`") for row in rows("reports.md", "Figures") for kind in row.split(", ")}
    assert set(get_args(PlotSpec.model_fields["kind"].annotation)) == described - {"kind", "---"}


@pytest.mark.parametrize(
    ("page", "example"),
    [("algorithms.md", "fl_median/fl_median.py"), ("models.md", "plainnet.py"), ("data.md", "geometric.py")],
)
def test_a_page_shows_its_example_as_it_is(page: str, example: str) -> None:
    code = (DOCS.parent / "examples" / example).read_text(encoding="utf-8")
    assert f"```python\n{code}```" in (DOCS / page).read_text(encoding="utf-8")
    assert len(code.splitlines()) < 60


def test_the_generated_pages_are_up_to_date() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    for name, make in generate["PAGES"].items():
        assert (DOCS / name).read_text(encoding="utf-8") == make(), f"run python docs/generate.py ({name})"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING -" not in done.stderr
    assert (tmp_path / "site" / "index.html").exists()


def test_every_page_stands_in_the_navigation() -> None:
    nav = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert {page.name for page in DOCS.glob("*.md")} == set(re.findall(r": ([\w-]+\.md)$", nav, re.MULTILINE))


def _texts_of_the_code() -> str:
    """Every string of the package and the baselines; what an f-string fills in is an ellipsis."""
    found = []
    for file in [*DOCS.parent.glob("mosaic_bench/**/*.py"), *DOCS.parent.glob("baselines/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_program_can_say_every_message_of_the_questions() -> None:
    texts = _texts_of_the_code()
    messages = re.findall(r"^`(.*)`.*\n:", (DOCS / "faq.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(messages) > 12
    for message in messages:
        parts = [part.strip(" ':") for part in re.split(r"…|NAME|\bN\b|AXIS=\[\.\.\.\]", message)]
        assert all(part in texts for part in parts if len(part) > 3), message


@pytest.fixture
def plainnet(tmp_path: Path) -> Iterator[Path]:
    """The worked example as a file, forgotten after the test."""
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "plainnet.py"
    file.write_text(code)
    yield file
    forget_plugin("plainnet")


@pytest.mark.parametrize("extract", ["static", "rolling", "random"])
def test_the_own_architecture_of_the_docs_trains_in_slices(plainnet: Path, tmp_path: Path, extract: str) -> None:
    load_plugins([plainnet])
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\ngrid: {algorithm: [fedavg]}\ndataset: {name: digits, train: 60, test: 20}\npartition: iid\n"
        f"models: {{arch: plainnet, widths: [1, 0.5], extract: {extract}}}\n"
        "federation: {clients: 2, rounds: 1}\nlocal: {steps: 1, batch: 8}\n"
    )
    [job] = jobs_of(suite, [])
    assert run_until(describe(job, tmp_path, []), []) is State.DONE


RUN_COMMANDS = runpy.run_path(str(DOCS / "run_commands.py"))
COMMANDS = [command for page in RUN_COMMANDS["pages"]([]) for command in RUN_COMMANDS["commands"](page)]


PARTS = {part.strip() for command in COMMANDS for part in re.split(r" && | > | & ?$", command)}


@pytest.mark.parametrize("command", sorted(part for part in PARTS if part.startswith("python -m mosaic_bench ")))
def test_every_command_shown_is_one_that_the_program_takes(command: str) -> None:
    """Verb, arguments and options are parsed as the program does, and nothing is run."""
    verb, rest = get_command(app), shlex.split(command)[3:]
    while hasattr(verb, "commands") and rest[0] in verb.commands:
        verb, rest = verb.commands[rest[0]], rest[1:]
    given, left, _ = verb.make_parser(verb.context_class(verb)).parse_args(list(rest))
    assert not left
    required = {parameter.name for parameter in verb.params if parameter.required}
    assert required <= {name for name, value in given.items() if value}
