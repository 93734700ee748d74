"""Algorithms from outside the repository run and show like the built-in ones; faulty ones cost their own cell."""

import json
from pathlib import Path

import pytest
from runs import mosaic, states

from mosaic_bench.store import Store

MEDIAN = '''
"""Coordinate-wise median of the clients' models (Yin et al., ICML 2018)."""

import torch

from mosaic_bench.api import Algorithm, Hyperparameters, parameter, register


@register("median", title="Median", paper="Yin et al., ICML 2018")
class Median(Algorithm):
    """Each round the global model becomes the median of the cohort's models."""

    class Params(Hyperparameters):
        """Hyper-parameters."""

        server_lr: float = parameter(1.0, unit="1", source="paper", gt=0, le=1)

    def setup(self) -> None:
        self.server = self.fed.model()

    def step(self, t: int) -> None:
        updates = self.fed.train(self.fed.broadcast(self.server, self.fed.cohort(t))).keep()
        for name, tensor in self.server.state_dict().items():
            if tensor.is_floating_point():
                median = torch.stack([update.state[name] for update in updates]).median(0).values
                tensor.lerp_(median, self.params.server_lr)
'''

FAULTY = """
import math

import torch

from mosaic_bench.api import Algorithm, Unsupported, register


class Base(Algorithm):
    def setup(self):
        self.server = self.fed.model()


@register("crash", paper="none")
class Crash(Base):
    def step(self, t):
        raise ZeroDivisionError("told to fail in step %d" % t)


@register("explode", paper="none")
class Explode(Base):
    def step(self, t):
        updates = self.fed.train(self.fed.broadcast(self.server, self.fed.cohort(t)), lr=1e30)
        self.fed.average_(self.server, updates)


@register("picky", paper="none")
class Picky(Base):
    def setup(self):
        raise Unsupported("needs more clients than there are")

    def step(self, t):
        pass


@register("snoop", paper="none")
class Snoop(Base):
    reveals = frozenset({"counts"})

    def step(self, t):
        handles = []
        self.fed.map(lambda data: handles.append(data), self.fed.cohort(t), "counts")
        handles[0].images()


@register("hoarder", paper="none")
class Hoarder(Base):
    def step(self, t):
        import numpy

        self.kept = numpy.zeros(3)
"""


def _suite(path: Path, algorithms: list[str]) -> Path:
    file = path / "suite.yaml"
    file.write_text(
        f"suite: plugins\ngrid: {{algorithm: {json.dumps(algorithms)}, seed: [0]}}\n"
        "dataset: {name: digits, train: 300, test: 100}\npartition: iid\nmodels: mlp\n"
        "federation: {clients: 3, rounds: 2}\nlocal: {steps: 3, batch: 16, lr: 0.1}\n"
        "run: {isolation: none, checkpoint_every: 1}\n"
    )
    return file


def test_a_file_adds_an_algorithm(tmp_path: Path) -> None:
    plugin = tmp_path / "median.py"
    plugin.write_text(MEDIAN)
    assert len(MEDIAN.strip().splitlines()) < 60
    suite = _suite(tmp_path, ["fedavg", "median"])
    assert "Yin et al." in mosaic("list", "--plugin", plugin).stdout
    for isolation in ("none", "process"):
        results = tmp_path / isolation
        done = mosaic("run", suite, "--results", results, "--plugin", plugin, "--isolation", isolation)
        assert done.returncode == 0, done.stderr + done.stdout
        assert "Median" in done.stdout
        assert "Median &" in (results / "plugins/tables/main.tex").read_text()
    unknown = mosaic("check", suite)
    assert unknown.returncode == 2
    assert "unknown algorithm 'median'" in unknown.stderr


def test_an_installed_package_adds_an_algorithm_through_its_entry_point(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "fl_median-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "fl_median.py").write_text(MEDIAN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fl-median\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mosaic_bench.algorithms]\nmedian = fl_median:Median\n")
    suite = _suite(tmp_path, ["median"])
    assert "Yin et al." in mosaic("list", PYTHONPATH=str(site)).stdout
    done = mosaic("run", suite, "--results", tmp_path / "results", "--isolation", "process", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Median" in done.stdout


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_faulty_algorithms_cost_their_own_cells_only(tmp_path: Path, isolation: str) -> None:
    plugin = tmp_path / "faulty.py"
    plugin.write_text(FAULTY)
    names = ["crash", "explode", "picky", "snoop", "hoarder", "fedavg"]
    suite = _suite(tmp_path, names)
    done = mosaic("run", suite, "--results", tmp_path / "r", "--plugin", plugin, "--isolation", isolation)
    assert done.returncode == 1
    cells = {cell.description()["cell"]["algorithm"]["name"]: cell for cell in Store(tmp_path / "r/plugins").cells()}
    found = {name: (cell.status().state.value, cell.status().message) for name, cell in cells.items()}
    assert found["fedavg"] == ("done", "")
    assert found["picky"] == ("unsupported", "needs more clients than there are")
    assert found["explode"][0] == "diverged"
    assert "step 1 of 2" in found["explode"][1]
    assert found["crash"][0] == "failed"
    assert "told to fail in step 0" in found["crash"][1]
    assert "Traceback" in cells["crash"].log.read_text()
    assert found["snoop"][0] == "failed"
    assert "outside train or map" in found["snoop"][1]
    assert "self.kept is a ndarray" in found["hoarder"][1]
    text = (tmp_path / "r/plugins/tables/main.tex").read_text()
    assert "n/a" in text
    assert "fail" in text
    assert set(states(tmp_path / "r").values()) == {"done", "unsupported", "diverged", "failed"}
