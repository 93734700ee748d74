"""``new``: an algorithm's file and its test, to start from."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from mosaic_bench.errors import UserError, writing

_TEMPLATES = files("mosaic_bench.cli") / "templates"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What suites will call it: fedbest, my-method.")],
    folder: Annotated[Path, typer.Option(help="Where the two files go.")] = Path(),
) -> None:
    """Start an algorithm of your own: NAME.py, which runs as it is, and test_NAME.py, which passes."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_/][a-z0-9]+)*", name):
        raise UserError(f"{name}: a name has small letters, digits and single '-', '_' or '/' between them")

    from mosaic_bench.engine.algorithms import algorithm_names

    if name in algorithm_names():
        raise UserError(f"{name}: there is an algorithm of that name; `list algorithms` shows all")
    words = re.split("[-_/]", name)
    module = "_".join(words)
    values = {"name": name, "module": module, "cls": "".join(map(str.capitalize, words)), "title": name}
    texts = {
        folder / f"{module}.py": _TEMPLATES / "algorithm.py.txt",
        folder / f"test_{module}.py": _TEMPLATES / "test_algorithm.py.txt",
    }
    for file in texts:
        if file.exists():
            raise UserError(f"{file}: exists already; choose another name or --folder")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file, template in texts.items():
            file.write_text(Template(template.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
    algorithm, test = texts
    print(f"{algorithm}: the algorithm; {test}: its test. What to do next:")
    print(f"  pytest {test}")
    grid = f"--set 'grid.algorithm=[fedavg, {name}]' --set suite={module}"
    print(f"  python -m mosaic_bench run quickstart --plugin {algorithm} {grid}")
