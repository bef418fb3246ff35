"""The README's main job, run in full as a new user would; then every other command of the documents on its results.

The two commands that install are executed by ``.ci/run``.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness import config, identity, rows, store

CHECKOUT = Path(__file__).parent.parent
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
REFERENCE = CHECKOUT / "results" / "reference" / "bench" / "xeon.csv"
SMALL = ["train.updates=20", "train.warmup=5", "train.batch=8", "train.validate_examples=20", "evaluate.examples=40"]


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def trains(line: str) -> bool:
    words = shlex.split(line)[3:]
    return "=" in words[0] or words[0] == "-m"


HARNESS = list(dict.fromkeys(line for page in PAGES for line in commands(page) if line.startswith("python -m harness")))


@pytest.fixture(scope="module")
def first_light(tmp_path_factory):
    """(results, what was printed) of ``python -m harness task=pairwise``."""
    folder = tmp_path_factory.mktemp("first_light")
    line = [sys.executable, "-m", "harness", "task=pairwise"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "results", done.stdout


def test_the_main_job_learns_both_splits_at_every_trained_length(first_light):
    results, _ = first_light
    scores = store.read([results])
    trained = scores[scores["in_range"] & scores["split"].isin(("boundary", "broad"))]
    assert set(zip(trained["split"], trained["length"], strict=True)) == {
        (split, length) for split in ("boundary", "broad") for length in (4, 8, 16, 32)
    }
    assert trained["accuracy"].min() >= 0.98, trained[["split", "length", "accuracy"]]
    assert (scores["examples"] >= 2000).all()
    (folder,) = store.runs(results)
    assert store.load_record(folder)["train_flops"] < 2e12  # seconds are the machine's too: the bench has them


def test_it_ends_in_a_table_a_figure_and_two_sentences(first_light):
    results, said = first_light
    (folder,) = store.runs(results)
    *_, seen, theory = said.strip().splitlines()
    assert "accuracy.png" in said
    assert (folder / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert seen.startswith("Seen: softmax attention with scratchpad none")
    assert "710 residual classes: 9.47 bits" in theory
    scores = pd.read_csv(folder / "scores.csv").set_index(["split", "length"])["accuracy"]
    for length in (4, 8, 16, 32, 64):
        (line,) = (line for line in said.splitlines() if line.startswith(f"{length} "))
        assert all(f"{scores[split, length]:.3f} [" in line for split in ("boundary", "broad", "natural"))


def test_what_the_model_wrote_can_be_looked_at(first_light):
    results, _ = first_light
    (folder,) = store.runs(results)
    line = [sys.executable, "-m", "harness", "show", folder.name, "length=6", "--results", str(results)]
    shown = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "item 0" in shown
    assert "THINK" in shown


@pytest.fixture(scope="module")
def results(first_light, tmp_path_factory):
    """A working folder with the main job's results in it."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(first_light[0], folder / "results")
    return folder


@pytest.mark.parametrize("line", HARNESS)
def test_every_command_of_the_documents_runs(line, results, victims):
    """Commands that train are shortened by further settings, so that they end in seconds; the main job is not."""
    shorter = ["study.size=smoke"] if "study=" in line else SMALL if trains(line) and "--cfg" not in line else []
    shorter = ["--page", str(REFERENCE)] if line.endswith("harness bench") else shorter  # test_bench measures something
    (ended,) = victims(shlex.split(line)[3:] + shorter, folder=results)
    assert ended.code == 0, ended.said[-2000:]
    assert ended.printed


def test_the_first_two_commands_install_and_run_and_install_and_test():
    run, test, *_ = commands(PAGES[0])
    assert run.endswith(".venv/bin/python -m harness task=pairwise")
    assert test.endswith(".venv/bin/python -m pytest -q")
    assert test in (CHECKOUT / ".ci" / "run").read_text()


def test_the_documents_name_runs_by_their_true_identity():
    (point,) = config.points(["task=pairwise"])
    named = {run for page in PAGES for run in re.findall(r"pairwise-softmax-none-[0-9a-f]{8}", page.read_text())}
    assert named == {identity.folder(point, Path()).name}


def test_every_link_and_picture_of_the_documents_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_documents_list_every_column_of_cost_and_every_file_of_a_run():
    text = "".join(page.read_text() for page in PAGES)
    for column in rows.COLUMNS:
        if column.endswith(("_flops", "_pairs", "_bytes", "serial_steps")):
            assert f"`{column}`" in text
