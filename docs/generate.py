"""Write the pages that are made from the code: `python docs/generate.py`. A test fails when they are out of date."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mosaic_bench.suite import report_schema, schema

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SECTIONS: dict[str, type[BaseModel]] = {
    "algorithm": schema.AlgorithmSpec,
    "dataset": schema.DatasetSpec,
    "models": schema.ModelsSpec,
    "models.widths, as a rule": schema.WidthRule,
    "federation": schema.FederationSpec,
    "federation.public": schema.PublicSpec,
    "local": schema.LocalSpec,
    "local.tail": schema.TailSpec,
    "evaluate": schema.EvaluateSpec,
    "run": schema.RunSpec,
    "overrides, one of them": schema.Override,
    "report": report_schema.ReportSpec,
    "report.headline": report_schema.HeadlineSpec,
    "report.tables, one of them": report_schema.TableSpec,
    "report.plots, one of them": report_schema.PlotSpec,
}
_LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def reference() -> str:
    """The suite reference: every key of every section, from the schema that validates suites."""
    parts = [
        "# Suite reference\n",
        "Made from the schema by `docs/generate.py`. [The suite file](suites.md) explains it.\n",
    ]
    for title, section in SECTIONS.items():
        words, meanings = _documented(section)
        parts.append(f"## {title}\n\n{words}\n\n| key | values | default | means |\n|---|---|---|---|")
        document = section.model_json_schema(by_alias=True)
        for name, field in section.model_fields.items():
            key = field.alias or name
            values = _values(document["properties"][key], document.get("$defs", {}))
            default = "required" if field.is_required() else f"`{_plain(field.get_default(call_default_factory=True))}`"
            parts.append(f"| `{key}` | {values} | {default} | {meanings.get(name, '')} |")
        parts.append("")
    return "\n".join(parts).rstrip("\n") + "\n"


def deviations() -> str:
    """Every departure from a paper or its published code that a docstring or comment marks."""
    parts = [
        "# Departures from papers and published code\n",
        "Collected by `docs/generate.py` from the marks `DEVIATION:` in the code, each beside what it is about.",
        "Where the papers and their code differ, a hyper-parameter in brackets reaches the other behaviour.",
        "[mosaic.md](mosaic.md) lists what our reading of Mosaic changes.\n",
    ]
    for file in sorted([*ROOT.glob("baselines/*.py"), *ROOT.glob("mosaic_bench/**/*.py")]):
        found = list(_marks(file.read_text(encoding="utf-8")))
        if found:
            parts += [f"## {file.relative_to(ROOT).as_posix()}\n", *(f"* {text}" for text in found), ""]
    return "\n".join(parts).rstrip("\n") + "\n"


PAGES = {"reference.md": reference, "deviations.md": deviations}


def _documented(section: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """The words of a docstring, and its `Attributes:` by name."""
    words, _, attributes = inspect.getdoc(section).partition("\n\nAttributes:\n")  # type: ignore[union-attr]
    meanings = {}
    for entry in re.split(r"\n(?=    \w)", "\n" + attributes):
        names, _, meaning = " ".join(entry.split()).partition(": ")
        meanings.update(dict.fromkeys(names.split(", "), _cell(meaning)))
    return _code(words), meanings


def _values(value: dict[str, Any], defs: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "$ref" in value:
        title = value["$ref"].rpartition("/")[2]
        return next((f"`{key.partition(',')[0]}` section" for key, s in SECTIONS.items() if s.__name__ == title), title)
    if "anyOf" in value:
        return " or ".join(_values(each, defs) for each in value["anyOf"] if each.get("type") != "null")
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if value.get("type") == "array":
        return f"list of {_values(value.get('items', {}), defs)}"
    limits = [text.format(f"{value[key]:g}") for key, text in _LIMITS.items() if key in value]
    names = {"number": "number", "integer": "integer", "string": "text", "boolean": "true, false", "object": "mapping"}
    return " ".join([names.get(value.get("type", ""), "any"), *limits])


def _plain(value: Any) -> str:
    """A default as a suite file writes it."""
    if isinstance(value, BaseModel):
        return "{}"
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return "[one of each kind]" if len(value) > 1 else "[{}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _code(text: str) -> str:
    return text.replace("``", "`")


def _cell(text: str) -> str:
    return _code(text).replace("|", "\\|")


def _marks(source: str) -> Iterator[str]:
    """The sentence of each mark, to the end of its paragraph, with the class or function it is about."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for paragraph in re.split(r"\n\s*\n|(?=DEVIATION:)", ast.get_docstring(node) or ""):
                if paragraph.startswith("DEVIATION:"):
                    yield f"`{node.name}`: {_one_line(paragraph)}"
    comment = re.findall(r"^ *# DEVIATION: .*(?:\n *# .*)*", source, re.MULTILINE)
    yield from (_one_line(re.sub(r"^ *# ", "", text, flags=re.MULTILINE)) for text in comment)


def _one_line(paragraph: str) -> str:
    return _code(" ".join(paragraph.split()).removeprefix("DEVIATION: "))


if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
