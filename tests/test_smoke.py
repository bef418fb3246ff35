"""Every task, and every variation of it, is trained and evaluated through the real pipeline, in seconds each."""

import pandas as pd
import pytest

import tasks
from harness.__main__ import main
from harness.catalogue import changed

TINY = [
    "model.layers=1",
    "model.width=16",
    "model.heads=2",
    "train.updates=12",
    "train.warmup=2",
    "train.batch=8",
    "train.validate_every=6",
    "train.validate_examples=20",
    "evaluate.examples=20",
]
CASES = {}
for _name in tasks.names():
    for _number, _task in enumerate((tasks.load(_name)(), *tasks.load(_name).variations())):
        _label = f"{_name}-{_number}" if _number else _name
        CASES[_label] = _name, _task, "none"
        if _task.traces:
            CASES[f"{_label}-full"] = _name, _task, "full"


@pytest.mark.parametrize("case", CASES)
def test_a_run_from_start_to_end(case, tmp_path, capsys):
    name, task, scratchpad = CASES[case]
    first, second = task.shortest, task.shortest + 2
    line = [f"task={name}", *changed(task).split(), f"scratchpad={scratchpad}", *TINY]
    line += [f"train.lengths=[{first},{second}]", f"evaluate.lengths=[{second}]", "model.context=1100"]
    assert main([*line, "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Seen: " in said
    assert "Theory: " in said
    (folder,) = (tmp_path / "runs").iterdir()
    scores = pd.read_csv(folder / "scores.csv")
    tested = scores[scores["split"] != "validation"]
    assert set(tested["split"]) == {"boundary", "broad", "natural"}
    assert tested["accuracy"].between(0, 1).all()
    assert tested["chance"].tolist() == pytest.approx([task.chance(second)] * 3)
    steps = next(iter(task.traces.values())).count(second) if scratchpad == "full" else 0
    assert tested["steps"].tolist() == [steps] * 3
