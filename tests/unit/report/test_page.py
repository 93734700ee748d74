"""The page in a real browser: it works, asks the network for nothing, and complains of nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import BROWSER, Page, browser
from studies import Coordinates, write_study

from mosaic_bench.report.page import render_page
from mosaic_bench.report.study import read_study
from mosaic_bench.store import State

pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

AXES = {
    "algorithm": ["local", "fedavg", "feddf", "mosaic", "a_method_with_a_very_long_name(temperature=4)"],
    "dataset": ["fmnist", "cifar10"],
    "partition": ["dirichlet(alpha=0.01)", "dirichlet(alpha=0.1)", "iid"],
    "seed": ["0", "1", "2"],
}
CELLS = 5 * 2 * 3 * 3
PLOTS = [
    *({"kind": kind, "x": [x]} for kind, x in (("curve", "step"), ("cost_accuracy", "bytes"))),
    *({"kind": kind} for kind in ("alpha_sweep", "critical_difference", "client_classes", "samples")),
]
TABLES = [{"name": "main"}, {"name": "cost", "preset": "cost"}]


def accuracy(cell: Coordinates) -> float | tuple[State, str]:
    if (cell["algorithm"], cell["dataset"]) == ("feddf", "cifar10"):
        return State.UNSUPPORTED, "needs <b>public</b> images & more"
    if (cell["algorithm"], cell["seed"]) == ("local", "2"):
        return State.FAILED, "ValueError: '</script><img src=x onerror=alert(1)>' (traceback in /a/log.txt)"
    rank = AXES["algorithm"].index(cell["algorithm"]) + AXES["partition"].index(cell["partition"])
    return 0.3 + 0.1 * rank + 0.01 * int(cell["seed"])


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results")
    store = write_study(path / "a study", AXES, accuracy, tables=TABLES, plots=PLOTS)
    return store.write_output("report.html", render_page(read_study(store)))


@pytest.fixture(scope="module")
def page(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(html)
        yield opened


MAIN = "[aria-labelledby=caption-main]"
SHOWN = "[...document.querySelectorAll('#cell-list tbody tr')].filter(row => !row.hidden)"


def shown(page: Page) -> list[str]:
    """Texts of the cells that the list shows."""
    rows: list[str] = page.run(f"{SHOWN}.map(row => [...row.cells].map(cell => cell.textContent).join(' '))")
    return rows


def type_filter(page: Page, text: str) -> None:
    page.run(f"(f => {{ f.value = {text!r}; f.dispatchEvent(new Event('input')) }})(document.getElementById('filter'))")


def column(page: Page, table: str, number: int) -> list[str]:
    texts: list[str] = page.run(
        f"[...document.querySelectorAll('{table} tbody tr')].map(row => row.cells[{number}].textContent.trim())"
    )
    return texts


def test_nothing_is_asked_of_the_network_and_the_console_is_silent(page: Page, html: Path) -> None:
    addresses = page.requests()
    assert addresses[0] == html.as_uri()
    assert all(address.startswith("data:image/png;base64,") for address in addresses[1:])
    assert page.complaints() == []
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html.read_text())


def test_every_image_is_loaded_and_has_an_alternative_text(page: Page) -> None:
    images = page.run("[...document.images].map(i => [i.naturalWidth, i.alt])")
    assert len(images) >= 5
    assert all(width > 300 and len(alt) > 40 for width, alt in images)


def test_messages_are_text(page: Page) -> None:
    missing = page.run("document.getElementById('missing').textContent")
    assert "'</script><img src=x onerror=alert(1)>'" in missing
    assert "needs <b>public</b> images & more" in missing


def test_a_heading_sorts_its_column_and_gaps_stay_last(page: Page) -> None:
    heading = f"document.querySelector('{MAIN}').tHead.rows[1].cells[3].querySelector('button')"
    page.run(f"{heading}.click()")  # CIFAR-10 at the smallest α: below the second group of headings
    ascending = column(page, MAIN, 4)
    means = [float(text.split()[0]) for text in ascending if text[0].isdigit()]
    assert means == sorted(means)
    assert len(means) == 4
    assert ascending[-1].startswith("n/a")
    assert page.run(f"{heading}.closest('th').getAttribute('aria-sort')") == "ascending"
    page.run(f"{heading}.click()")
    descending = column(page, MAIN, 4)
    assert descending[:4] == ascending[:4][::-1]
    assert descending[-1].startswith("n/a")


def test_the_keyboard_sorts_too(page: Page) -> None:
    page.run("document.querySelectorAll('#cell-list thead th button')[6].focus()")
    for order in (1, -1):
        page.press("Enter", "\r")
        values = column(page, "#cell-list", 6)
        measured = [float(value) for value in values if value]
        assert measured == sorted(measured)[::order]
        assert values[len(measured) :] == [""] * 15  # six failed, nine unsupported
    assert page.run("document.querySelector('.scroll').tabIndex") == 0


def test_words_and_states_filter_the_cells(page: Page) -> None:
    page.run("document.getElementById('reset').click()")
    assert len(shown(page)) == CELLS
    type_filter(page, "fedavg iid")
    assert len(shown(page)) == 6
    assert all("FedAvg" in row and "IID" in row for row in shown(page))
    assert page.run("document.getElementById('count').textContent") == f"6 of {CELLS}"
    type_filter(page, "")
    page.run("(s => { s.value = 'failed'; s.dispatchEvent(new Event('change')) })(document.getElementById('state'))")
    assert len(shown(page)) == 6
    page.run("document.getElementById('reset').click()")
    assert len(shown(page)) == CELLS


def test_a_number_leads_to_its_cells(page: Page) -> None:
    page.run("document.querySelector('table.results tbody td.best a').click()")
    rows = shown(page)
    assert len(rows) == 3
    assert len({row.split("done")[0].rsplit(" ", 2)[0] for row in rows}) == 1
    page.run("document.getElementById('reset').click()")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(page: Page, width: int, tmp_path: Path) -> None:
    page.resize(width)
    assert page.run("document.documentElement.scrollWidth") <= width
    wider = (
        "[...document.querySelectorAll('img, pre, p, dl')].filter(e => e.getBoundingClientRect().right > innerWidth)"
    )
    assert page.run(f"{wider}.length") == 0
    folder = Path(os.environ.get("MOSAIC_BENCH_SCREENSHOTS", tmp_path))
    page.screenshot(folder / f"report-{width}.png")
    assert (folder / f"report-{width}.png").stat().st_size > 10_000


def test_the_page_prints(page: Page) -> None:
    assert page.printed_pages().startswith(b"%PDF")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.run("getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert page.run("getComputedStyle(document.querySelector('.tall')).overflowY") == "visible"
    page.call("Emulation.setEmulatedMedia", media="")


def test_it_tells_how_to_get_a_number_again(html: Path) -> None:
    text = html.read_text()
    assert f"python -m mosaic_bench show KEY --results {html.parent.parent}" in text
    assert f"python -m mosaic_bench tables &#39;{html.parent}&#39;" in text
    assert "0123456789abcdef" in text
    assert "torch 2.4.0" in text


def test_cells_whose_data_is_absent_are_found_by_their_empty_key(tmp_path: Path) -> None:
    store = write_study(tmp_path / "absent", {"algorithm": ["fedavg"], "seed": ["0", "1"]}, lambda cell: 0.5)
    suite = store.suite()
    store.write_suite(suite | {"cells": [cell | {"key": None} for cell in suite["cells"]]})
    text = render_page(read_study(store))
    assert re.findall('data-keys="([^"]*)">2</a>', text) == [" "]  # two keys, as the page's script splits them
    assert text.count('<tr data-key="" data-state="planned">') == 2


def test_a_complaint_would_be_noticed(page: Page) -> None:
    before = len(page.complaints())
    page.run("console.error('no')")
    page.run("fetch('https://example.invalid/').catch(() => 0)")
    assert len(page.complaints()) > before
    page.events.clear()
