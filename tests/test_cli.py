"""The command line from outside: help, a stray ``tasks.py``, what ``compare``, ``plot`` and ``check`` leave behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness import rows, store
from harness.__main__ import VERBS, main
from tests.test_experiment import SMALL


def python(folder, *words):
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_shows_examples(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"examples:\n  python -m harness {verb if verb != 'run' else ''}".rstrip() in said


def test_a_stray_tasks_file_is_named(tmp_path):
    (tmp_path / "tasks.py").write_text("raise SystemExit('the wrong file was imported')")
    done = python(tmp_path, "-m", "harness", "list", "tasks")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "tasks.py") in done.stderr


def test_the_console_script_does_not_mind_it(tmp_path):
    (tmp_path / "tasks.py").write_text("raise SystemExit('the wrong file was imported')")
    script = Path(sys.executable).with_name("harness")
    done = subprocess.run([script, "list", "tasks"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "pairwise" in done.stdout


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Eight small runs: two variants, two scratchpads, two seeds; a trace beside ``none`` makes no further run."""
    root = tmp_path_factory.mktemp("eight")
    line = ["attention=softmax,linear", "scratchpad=none,full", "seed=0,1", "train.updates=3"]
    assert main(["-m", *SMALL, *line, "--results", str(root)]) == 0
    assert (
        main(["-m", *SMALL, "scratchpad=none", "scratchpad.trace=pairs,extremes", *line[2:], "--results", str(root)])
        == 0
    )
    return root


def test_eight_runs_make_four_lines_and_four_rows(swept, capsys):
    assert len(list((swept / "runs").iterdir())) == 8
    assert main(["compare", "--results", str(swept)]) == 0
    table = pd.read_csv(swept / "compare.csv")
    assert len(table) == 4
    assert (table["seeds"] == 2).all()
    assert (table["done"] == 2).all()
    assert len([line for line in (swept / "compare.md").read_text().splitlines() if line.startswith("| ")]) == 1 + 1 + 4
    assert main(["plot", "--results", str(swept)]) == 0
    drawn = {path.name for path in (swept / "figures").glob("*.png")}
    assert drawn == {
        "pairwise-accuracy-against-length.png",
        "pairwise-accuracy-against-steps.png",
        "pairwise-cost-against-length.png",
    }
    svg = (swept / "figures" / "pairwise-accuracy-against-length.svg").read_text()
    assert svg.count("<!-- softmax · ") + svg.count("<!-- linear · ") == 4


def test_where_and_by_choose_rows_and_groups(swept, capsys):
    assert main(["compare", "--results", str(swept), "--where", "scratchpad=full", "--by", "attention", "length"]) == 0
    table = pd.read_csv(swept / "compare.csv")
    assert table[["attention", "length"]].values.tolist() == [
        ["softmax", 2],
        ["softmax", 7],
        ["linear", 2],
        ["linear", 7],
    ]


def test_results_folders_can_be_joined(swept, tmp_path, capsys):
    assert main([*SMALL, "seed=5", "train.updates=3", "--results", str(tmp_path)]) == 0
    assert main(["compare", "--results", str(tmp_path), "--results", str(swept), "--by", "attention"]) == 0
    assert pd.read_csv(tmp_path / "compare.csv")["done"].sum() == 9


def test_a_diverged_run_ends_in_sentences_and_zero(tmp_path, capsys):
    line = [*SMALL, "train.learning_rate=1e30", "--results", str(tmp_path)]
    for _ in range(2):  # and so it does when it is repeated
        assert main(line) == 0
        said = capsys.readouterr().out
        assert "has status DIVERGED" in said
        assert "Theory: pairwise takes" in said
    (run,) = (tmp_path / "runs").iterdir()
    assert main(["show", run.name, "length=3", "--results", str(tmp_path)]) == 2
    assert "DIVERGED" in capsys.readouterr().err
    assert main(["compare", "--results", str(tmp_path)]) == 0
    assert pd.read_csv(tmp_path / "compare.csv")["diverged"].tolist() == [1]


def test_a_run_that_fails_in_the_middle_of_its_rows_ends_in_sentences_and_one(tmp_path, capsys, monkeypatch):
    def evaluate(model, source, wanted, size, real=rows.evaluate):
        if any(question.split != "validation" for question in wanted):
            raise RuntimeError("too much")
        return real(model, source, wanted, size)

    monkeypatch.setattr(rows, "evaluate", evaluate)
    assert main([*SMALL, "--results", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "RuntimeError: too much" in err
    assert "has status FAILED" in out
    assert "Theory: pairwise takes" in out


def test_rows_of_several_evaluations_of_one_run_stand_beside_each_other(tmp_path, capsys):
    few, many = "evaluate.examples=20", "evaluate.examples=60"
    for more in (["evaluate.splits=[natural]"], ["evaluate.splits=[boundary]", "evaluate.lengths=[3]"], [few], [many]):
        assert main([*SMALL, *more, "--results", str(tmp_path)]) == 0
    found = store.read([tmp_path])
    assert not found.duplicated(["split", "length", "steps", "stop"]).any(), "a question has one answer"
    asked = found.set_index(["split", "length"])["examples"]
    assert asked["boundary", 2] == 60, "over the most examples that were asked"
    assert asked["boundary", 3] == 30
    assert main(["plot", "--results", str(tmp_path)]) == 0


def test_natural_instances_alone_can_be_drawn(tmp_path, capsys):
    assert main([*SMALL, "evaluate.splits=[natural]", "--results", str(tmp_path)]) == 0
    assert main(["plot", "--results", str(tmp_path)]) == 0


def test_a_run_in_two_results_folders_counts_once(swept, tmp_path, capsys):
    shutil.copytree(swept / "runs", tmp_path / "runs")
    assert main(["compare", "--results", str(tmp_path), "--results", str(swept)]) == 0
    assert (pd.read_csv(tmp_path / "compare.csv")["done"] == 2).all()
    assert len(store.read([swept, tmp_path])) == len(store.read([swept]))


@pytest.mark.parametrize("split", ["boundary", "broad", "natural"])
def test_show_takes_a_split(split, swept, capsys):
    run = next((swept / "runs").iterdir()).name
    assert main(["show", run, "length=3", f"split={split}", "--results", str(swept)]) == 0
    assert f"on {split}, length 3" in capsys.readouterr().out


def test_check_fails_on_a_task_that_breaks_a_law(capsys):
    assert main(["check", "task=pairwise", "task.alpha=2", "task.values=8"]) == 1
    assert "FAILS  no shortcut tells twins apart" in capsys.readouterr().out
