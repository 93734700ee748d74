"""The conformance suite runs outside the repository, passes a sound algorithm, and names what a faulty one does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

METHODS = '''
import torch

from mosaic_bench.api import Algorithm, Unsupported, register


class Sound(Algorithm):
    """Federated averaging."""

    def setup(self):
        self.servers = self.fed.models()

    def step(self, t):
        self.fed.average_(self.servers, self.fed.train(self.fed.broadcast(self.servers, self.fed.cohort(t))))

    def predictors(self):
        return {"server": self.servers}


@register("sound", paper="none")
class Registered(Sound):
    pass


@register("unseeded", paper="none")
class Unseeded(Sound):
    def step(self, t):
        super().step(t)
        torch.seed()
        self.servers["cnn"].head.bias.data += torch.randn(7)


@register("forgetful", paper="none")
class Forgetful(Sound):
    """Keeps a model where no checkpoint looks."""

    def step(self, t):
        super().step(t)
        weight = self.servers["cnn"].head.weight.data
        weight += self.fed.__dict__.setdefault("kept", torch.zeros_like(weight))
        self.fed.__dict__["kept"] = 0.1 * weight.clone()


@register("choosy", paper="none")
class Choosy(Sound):
    def step(self, t):
        self.fed.average_(self.servers, self.fed.train(self.fed.broadcast(self.servers, [0])))


@register("headstart", paper="none")
class HeadStart(Sound):
    def setup(self):
        super().setup()
        torch.nn.init.zeros_(self.servers["cnn"].head.weight)


@register("snoop", paper="none")
class Snoop(Sound):
    def step(self, t):
        super().step(t)
        self.fed._train_images


@register("careless", paper="none")
class Careless(Sound):
    """Runs its teachers in train mode."""

    def step(self, t):
        received = self.fed.broadcast(self.servers, self.fed.cohort(t))
        updates = self.fed.train(received).keep()
        self.fed.average_(self.servers, updates)
        for update in updates:
            update.model().train()(torch.randn(4, 1, 12, 12, generator=torch.Generator().manual_seed(0)))


@register("lazy", paper="none")
class Lazy(Sound):
    def step(self, t):
        list(self.fed.train(self.fed.broadcast(self.servers, self.fed.cohort(t))))


@register("terse", paper="none")
class Terse(Sound):
    def setup(self):
        raise Unsupported("no")
'''

FAULTS = {
    "unseeded": {"running_it_again_gives_the_same_numbers", "stopping_after_every_step_changes_no_number"},
    "forgetful": {"stopping_after_every_step_changes_no_number"},
    "choosy": {"it_trains_the_cohort_that_every_method_gets"},
    "headstart": {"it_starts_from_the_weights_that_every_method_gets"},
    "snoop": {"it_touches_clients_through_services_only"},
    "careless": {"the_models_that_clients_uploaded_stay_as_they_are"},
    "lazy": {"it_learns_images_that_are_easy_to_tell_apart"},
    "terse": {"unsupported_carries_one_sentence"},
    "sound": set(),
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Algorithm -> the tests it failed, in a process that knows nothing of this repository but the package."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "methods.py").write_text(METHODS)
    chosen = [part for name in FAULTS for part in ("--algorithm", name)]
    command = [sys.executable, "-m", "pytest", "--pyargs", "mosaic_bench.conformance", "-k", "alike", "-q"]
    result = subprocess.run(
        [*command, "--plugin", "methods.py", *chosen],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    found: dict[str, set[str]] = {name: set() for name in FAULTS}
    for test, name in re.findall(r"^FAILED \S+::test_(\w+)\[(\w+)-alike\]", result.stdout, re.MULTILINE):
        found[name].add(test)
    assert re.search(r"\d+ passed", result.stdout), result.stdout + result.stderr
    return found


@pytest.mark.parametrize("name", list(FAULTS))
def test_every_fault_is_named_by_the_test_that_is_about_it(failed: dict[str, set[str]], name: str) -> None:
    assert failed[name] == FAULTS[name]


def test_the_suite_imports_nothing_of_the_tests() -> None:
    package = Path(__file__).parents[2] / "mosaic_bench" / "conformance"
    assert not any(
        re.search(r"^(from|import) (tests|support|baselines)", f.read_text(), re.M) for f in package.glob("*.py")
    )
