"""The command line from outside: help, a stray ``tasks.py``, what ``compare``, ``plot`` and ``check`` leave behind."""

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from harness import attention, check, rows, status, store
from harness.__main__ import VERBS, main
from harness.attention import audit, measured
from harness.attention.window import Window
from harness.settings import Choice
from tasks.verdict import Verdict
from tests.test_attention import MeanOfAll
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


def test_debug_shows_where_a_refusal_came_from(capsys):
    assert main(["task=pairwsie"]) == 2
    plain = capsys.readouterr().err
    assert (plain.count("\n"), "Traceback" in plain) == (1, False)
    assert main(["task=pairwsie", "--debug"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(plain)
    assert "Traceback" in said


def test_a_mistake_of_ours_is_a_sentence_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(store, "runs", lambda root: 1 / 0)
    assert main(["status", "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said == "harness: ZeroDivisionError: division by zero; this is a mistake of ours, --debug shows where\n"
    assert main(["--debug", "status"]) == 1
    assert "in standings" in capsys.readouterr().err


def test_debug_shows_where_a_run_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rows, "evaluate", lambda *_: 1 / 0)
    line = [*SMALL, "train.updates=3", "--results", str(tmp_path)]
    assert main(line) == 1
    said = capsys.readouterr().err
    assert (said.count("ZeroDivisionError"), "Traceback" in said, "log.txt" in said) == (1, False, True)
    assert main([*line, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


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
        "pairwise-accuracy-against-state.png",
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
    assert err.count("RuntimeError: too much") == err.count("\n") == 1
    assert out == ""


def test_a_run_of_a_newer_harness_is_told_of_once_and_left_as_it_is(tmp_path, capsys, monkeypatch):
    line = [*SMALL, "--results", str(tmp_path)]
    assert main(line) == 0
    (run,) = (tmp_path / "runs").iterdir()
    with monkeypatch.context() as later:
        later.setattr(store.records, "FORMAT", store.records.FORMAT + 1)
        store.save_record(run, store.from_json(run / "run.json"))
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    capsys.readouterr()
    assert main(line) == 1
    said = capsys.readouterr().err
    assert said.count("newer harness") == said.count("\n") == 1
    assert main(["plot", "--results", str(tmp_path)]) == 2
    assert "damaged runs, which are in no figure: 1" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


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


@pytest.fixture
def short(monkeypatch):
    """``check attention=`` in seconds: a short ladder, and one law; yields the variants that were held to it."""
    held = []
    monkeypatch.setattr(measured, "LADDER", (16, 32, 64))
    monkeypatch.setattr(check, "check_variant", lambda variant: held.append(variant) or [Verdict("is_quick", True, "")])
    return held


def test_check_says_what_a_variant_costs_and_who_sees_whom(short, capsys):
    assert main(["check", "attention=window", "attention.window=4"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("attention=window: 1 of 1 laws hold\n  holds  is quick\n")
    rows = {tuple(cells[:2]): cells for cells in map(columns, said.splitlines())}
    assert rows["one more token", "pairs"][2:] == ["bounded", "4·n + 4 up to n = 3, then 16", "16"]
    assert rows["training pass", "FLOPs"][2:5] == ["linear", "149,760·n - 147,456", "153,206,784"]
    assert rows["training pass", "FLOPs"][5].startswith("n^")
    assert rows["state", "bytes"][2:] == ["bounded", "512·n up to n = 4, then 2,048", "2,048"]
    assert all(cell.startswith("n^") for cell in rows["like", rows["training pass", "FLOPs"][5]][1:])
    for tokens in measured.LADDER:
        (line,) = (columns(line) for line in said.splitlines() if columns(line)[0] == str(tokens))
        assert all(float(cell.removesuffix(" ms")) > 0 for cell in line[1:4])
        assert line[4].endswith(" bytes")
    (together,) = (line for line in said.splitlines() if line.startswith("one pass over 64 tokens"))
    loss, gradient = (float(number) for number in re.findall(r"by (\d+e[+-]\d+)", together))
    assert max(loss, gradient) < 1e-12
    drawn = ["  " + line for line in audit.picture(partial(Window, window=4, sinks=0))]
    assert said.endswith("\n".join(drawn) + "\n")


def columns(line):
    """The cells of one line of a table."""
    return re.split(r"  +", line.strip())


def test_check_takes_a_mask_that_the_variant_has(short, capsys):
    assert main(["check", "attention=softmax", "mask=encoder"]) == 0
    said = capsys.readouterr().out
    assert "mask=encoder" in said
    assert "state" not in said, "nothing is carried"
    assert main(["check", "attention=gru", "mask=encoder"]) == 2
    assert "mask=encoder: attention=gru can be causal" in capsys.readouterr().err
    assert main(["check", "attention=hybrid", "attention.layers=[softmax,gru]", "mask=encoder"]) == 2
    assert capsys.readouterr() == ("", "harness: mask=encoder: attention=gru can be causal\n"), (
        "before anything is held"
    )
    assert main(["check", "attention=softmax", "mask=sideways"]) == 2
    assert "mask=sideways: attention=softmax can be causal or prefix or encoder" in capsys.readouterr().err


def test_check_of_a_hybrid_checks_each_of_its_variants_once(short, capsys):
    layers = "attention.layers=[linear,{name:window,window:4},linear,window]"
    assert main(["check", "attention=hybrid", layers]) == 0
    said = capsys.readouterr().out
    headings = [line.split(",")[0] for line in said.splitlines() if line.startswith("cost of ")]
    assert headings == ["cost of linear", "cost of window", "cost of window"]
    assert [variant(64, 4).window for variant in short[1:]] == [4, 16]


def test_check_leaves_the_golden_numbers_out_for_other_settings(monkeypatch):
    held = [Verdict("golden_fingerprint_stands", False, "other numbers")]
    monkeypatch.setattr(check, "check_variant", lambda variant: held)
    one, other = Choice("topk", (("k", 4),)), Choice("topk", (("k", 5),))
    assert check.of_variant(one, one) == held
    assert check.of_variant(other, one) == []


def test_a_variant_that_cannot_be_causal_says_what_it_lacks(short, monkeypatch):
    monkeypatch.setattr(attention, "load", lambda name: MeanOfAll)
    said = "\n".join(check.cost(Choice("mean"), quiet=True))
    assert "mask=encoder" in said
    assert "one pass trains one token" in said
    assert re.search(r"^  64 .* none ", said, flags=re.MULTILINE), "there is no prompt"
    assert re.search(r"^  encoder\n  █{24}$", said, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "line",
    [["\x1b[2J"], ["task=\x1b[2J"], ["show", "\x1b[2J"], ["report", "--results", "\x1b[2J"], ["plot", "--\x1b[2J"]],
    ids=["verb", "value", "run", "folder", "option"],
)  # fmt: skip
def test_no_refusal_steers_the_terminal(line, capsys):
    assert main(line) == 2
    said = capsys.readouterr()
    assert said.err.strip()
    assert all(part.isprintable() for part in said.err.splitlines())


def test_neither_does_a_mistake_of_ours(monkeypatch, capsys):
    def broken(root):
        raise RuntimeError("\x1b[2J")

    monkeypatch.setattr(status, "text", broken)
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert "a mistake of ours" in said
    assert all(part.isprintable() for part in said.splitlines())


@pytest.mark.parametrize("name", ["config.yaml", "curve.csv", "scores.csv", "run.json"])
def test_a_run_that_cannot_be_read_is_not_done(name, tmp_path, capsys):
    line = [*SMALL, "--results", str(tmp_path)]
    assert main(line) == 0
    (run,) = store.runs(tmp_path)
    (run / name).write_text("")
    capsys.readouterr()
    assert main(line) == 1
    assert f"{run / name} does not have the SHA-256" in capsys.readouterr().err


def test_a_task_without_scores_keeps_no_other_from_being_drawn(tmp_path, capsys):
    assert main([*SMALL, "--results", str(tmp_path)]) == 0
    (run,) = store.runs(tmp_path)
    lost = store.run_folder(tmp_path, "copying-softmax-none-00000000")
    settings = store.load_settings(run)
    store.save_settings(lost, settings | {"task": {"name": "copying"}})
    store.save_record(lost, store.load_record(run) | {"run": lost.name, "recipe": "0", "status": "FAILED"})
    capsys.readouterr()
    assert main(["plot", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "no run of copying has scores yet" in said.err
    assert {Path(line).stem.partition("-")[0] for line in said.out.splitlines()} == {"pairwise"}
    store.remove(run)
    assert main(["plot", "--results", str(tmp_path)]) == 2


@pytest.mark.parametrize("line", [SMALL, *(["status"], ["compare"], ["claims"], ["plot"], ["report"])], ids=str)
def test_results_are_a_folder(line, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("kept")
    assert main([*line, "--results", str(file)]) == 2
    assert f"{file} is a file, and results are a folder" in capsys.readouterr().err
    assert file.read_text() == "kept"


def test_claims_of_a_folder_that_is_not_there_make_none(tmp_path, capsys):
    assert main(["claims", "--results", str(tmp_path / "mistyped")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_of_a_sweep_is_written_again(tmp_path):
    store.save_sweep(tmp_path, ["a", "b"])
    (path,) = store.sweeps(tmp_path)
    good = path.read_bytes()
    path.write_text("{")
    store.save_sweep(tmp_path, ["a", "b"])
    assert path.read_bytes() == good
