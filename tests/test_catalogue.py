"""The catalogue: its page is what the code says, and shows every task with a twin, its traces and its bounds."""

from pathlib import Path

import pytest

import tasks
from harness import catalogue, config
from harness.__main__ import main

PAGE = Path(__file__).parent.parent / "docs" / "tasks.md"


def test_the_page_of_the_documents_is_what_the_code_says(capsys):
    assert main(["list", "tasks", "--page"]) == 0
    written = capsys.readouterr().out
    assert written == PAGE.read_text(), "python -m harness list tasks --page > docs/tasks.md"


def test_every_task_has_a_section_with_a_twin_its_traces_and_its_bounds(task):
    name = type(task).__module__.removeprefix("tasks.")
    section = catalogue.page().split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert section.count("```text") == 1 + len(type(task).variations())
    for trace, how in task.traces.items():
        assert f"| `{trace}` | {how.law} |" in section
    for resource, bound in vars(task.theory).items():
        assert f"| {resource} | {bound.bound.replace('|', chr(92) + '|')} |" in section


def test_a_twin_marks_its_edit_and_says_both_answers(task):
    pair = catalogue.example(task)
    first, second = catalogue.twin(task, pair)
    for line, row in zip((first, second), pair.answer, strict=True):
        assert line.count("[") >= 1
        assert all(task.word(int(token)) in line for token in row)
    assert first != second


def test_settings_are_said_as_they_are_typed(variation):
    line = catalogue.changed(variation)
    name = type(variation).__module__.removeprefix("tasks.")
    (point,) = config.points([f"task={name}", *line.split(), "model.context=10000"])
    assert point.task == variation


@pytest.mark.parametrize("shelf", catalogue.SHELVES)
def test_every_shelf_is_listed(shelf, capsys):
    assert main(["list", shelf]) == 0
    said = capsys.readouterr().out
    if shelf in ("tasks", "bounds"):
        assert all(name in said for name in tasks.names())
    assert max(map(len, said.splitlines())) < 400


def test_there_is_no_page_of_anything_else(capsys):
    assert main(["list", "traces", "--page"]) == 2
    assert "`list tasks --page`" in capsys.readouterr().err
