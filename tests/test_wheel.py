"""An installed wheel is the whole harness: outside the checkout, in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from harness import store
from tests.test_readme import SMALL

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """(run a command there, its folder): a fresh environment that holds the wheel alone.

    The libraries are borrowed from this environment by PYTHONPATH, which reads no .pth file, so the checkout that is
    installed here for development stays invisible there.
    """
    folder = tmp_path_factory.mktemp("wheel")

    def call(*words, **more):
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, **more)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    call(*pip, "wheel", "-q", "--no-deps", "-w", folder / "dist", CHECKOUT)
    call(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    (wheel,) = (folder / "dist").glob("*.whl")
    call(*pip, "--python", folder / "venv" / "bin" / "python", "install", "-q", "--no-deps", "--no-index", wheel)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": sysconfig.get_path("purelib")}
    bin = folder / "venv" / "bin"
    return lambda program, *words: call(bin / program, *words, env=environment), folder


def test_the_wheel_brings_its_own_config_and_tasks(installed):
    call, folder = installed
    places = call("python", "-c", "import harness.groups, tasks; print(harness.groups.CONF, tasks.__file__)").split()
    assert all(Path(place).is_relative_to(folder / "venv") for place in places), places


def test_a_run_trains_evaluates_and_is_compared_outside_the_checkout(installed):
    call, folder = installed
    said = call("harness", "task=parity", "scratchpad=full", "train.lengths=[4]", "evaluate.lengths=[4]", *SMALL)
    assert "Theory: parity" in said
    (run,) = store.runs(folder / "results")
    assert store.from_json(run / "run.json")["fingerprint"]["commit"] is None, "it comes from no checkout"
    assert "parity" in call("python", "-m", "harness", "compare")
    assert "parity" in call("python", "-m", "harness", "list")
