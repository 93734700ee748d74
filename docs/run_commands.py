"""Run the commands that README and documentation show, in a scratch copy of the checkout.

    python docs/run_commands.py [--list] [PAGE.md ...]

Prints each with its seconds, and the reason of those it leaves out; exits with 1 when one fails. It takes six
minutes on two busy cores, so it is run by hand before a release; tests/test_docs.py checks that every command parses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = {
    r"^(pip|git|python3 -m venv|\. )": "installs; continuous integration does it",
    r"^(cd|pytest|ruff|mkdocs|tox)\b": "a developer's tools; continuous integration runs them",
    r"--backend dask --scheduler|^dask|^for host|^ *ssh|^done|results /shared": "needs other machines",
    r"data fetch (?!digits|suites/quickstart)|fmnist|suites/ci/": "needs data that is not bundled",
    r"merge|report alpha_sweep|\bmedian\b": "needs folders, or the package, of a line that is left out",
    r"run suites/(baselines|mosaic|figures)": "minutes to hours",
    r"--watch$|to (parquet|tensorboard)": "waits, or needs extras",
    r"\b(?!KEY)[A-Z]{4,}\b": "has a placeholder",
}


def commands(page: Path) -> Iterator[str]:
    """Every line of every console block, without its comment; lines that end in a backslash are joined."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            command = re.sub(r"\s+# .*$", "", line).strip()
            if command:
                yield command


def pages(names: list[str]) -> list[Path]:
    """The pages named, or README, examples and documentation."""
    found = [ROOT / "README.md", ROOT / "examples/README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in found if not names or page.name in names]


def reason(command: str) -> str | None:
    """Why a command is left out; None for one that is run."""
    if "pip install" in command and "run" in command.split("&&")[-1]:
        return "installs; continuous integration does it"
    return next((why for pattern, why in LEFT_OUT.items() if re.search(pattern, command)), None)


def main(arguments: list[str]) -> int:
    """Run, or with `--list` only name, the commands of the pages."""
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "results", "__pycache__", ".*_cache"))
        shutil.copytree(ROOT / "results/reference", tree / "results/reference")
        variables = os.environ | {"PYTHONPATH": str(tree), "COLUMNS": "160"}
        ready = subprocess.run(
            [sys.executable, "-m", "mosaic_bench", "run", "quickstart", "--only", "algorithm=fedavg"],
            cwd=tree,
            env=variables,
            capture_output=True,
        )
        assert ready.returncode == 0
        key = next((tree / "results/quickstart/cells").iterdir()).name
        chosen = pages([argument for argument in arguments if not argument.startswith("-")])
        for command in dict.fromkeys(command for page in chosen for command in commands(page)):
            why = reason(command)
            if why is not None or "--list" in arguments:
                print(f"{'left out' if why else 'run':>8}  {command}" + (f"   ({why})" if why else ""), flush=True)
                continue
            start = time.monotonic()
            done = subprocess.run(
                command.replace("KEY", key), shell=True, cwd=tree, env=variables, capture_output=True, text=True
            )
            print(f"{time.monotonic() - start:6.1f} s  {command}", flush=True)
            if done.returncode:
                failed += 1
                print(done.stdout[-500:] + done.stderr[-1000:], flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
