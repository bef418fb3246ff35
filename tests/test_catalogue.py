"""The catalogue: its pages are what the code says, and show every task with a twin, its traces and its bounds, and
every variant with its formula, its laws of growth, its refusals and its masks.
"""

from functools import cache
from pathlib import Path

import pytest

import tasks
from harness import attention, catalogue, config, groups, pages
from harness.__main__ import main
from harness.attention import audit, growth

DOCS = Path(__file__).parent.parent / "docs"
page = cache(pages.page)


@pytest.mark.parametrize("shelf", pages.PAGES)
def test_the_pages_of_the_documents_are_what_the_code_says(shelf, capsys, monkeypatch):
    monkeypatch.setattr(pages, "page", page)
    assert main(["list", shelf, "--page"]) == 0
    written = capsys.readouterr().out
    assert written == (DOCS / f"{shelf}.md").read_text(), f"python -m harness list {shelf} --page > docs/{shelf}.md"


def test_every_task_has_a_section_with_a_twin_its_traces_and_its_bounds(task):
    name = type(task).__module__.removeprefix("tasks.")
    section = section_of("tasks", name)
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


@pytest.mark.parametrize("name", attention.names())
def test_every_variant_has_a_section_with_its_formula_its_laws_and_its_masks(name):
    section, kind = section_of("attention", name), attention.load(name)
    variant = catalogue.variant(name)
    assert f"**{catalogue.about(kind)}**" in section
    assert f"```text\n{kind.formula}\n```" in section
    assert kind.source in section
    for price in growth.prices(variant(64, 4)):
        law = growth.law(price)
        assert f"| {price.what} | {price.unit} | {law.kind} | {law.words} | {price.at(1024):,} |" in section
    assert "\n".join(audit.picture(variant)) in section
    for key, value in config.variant([f"attention={name}"]).settings:
        (line,) = (line for line in section.splitlines() if line.startswith(f"| `attention.{key}` | `"))
        assert str(value) in line
    for mask in set(attention.MASKS) - set(kind.masks):
        assert f"- `mask={mask}: attention={name} can be {' or '.join(kind.masks)}`" in section
    assert ("position=alibi:" in section) != getattr(kind, "biased", False)


def test_a_setting_is_told_with_all_of_its_comment(tmp_path, monkeypatch):
    (tmp_path / "attention").mkdir()
    text = "# what it is\nname: one\nwide: 16      # numbers, of which\n              # some are kept\nplain: [1, 2]\n"
    (tmp_path / "attention" / "one.yaml").write_text(text)
    monkeypatch.setattr(groups, "CONF", tmp_path)
    assert pages.settings("one") == [
        ["`attention.wide`", "`16`", "numbers, of which some are kept"],
        ["`attention.plain`", "`[1, 2]`", ""],
    ]


def test_docstrings_are_told_as_markdown_and_only_their_own():
    def here():
        """Two ``vectors`` of
        :class:`Attention`.

        And more.
        """

    def elsewhere():
        """See :class:`Attention`."""

    def silent(): ...

    assert pages.paragraph(here) == ["Two `vectors` of `Attention`."]
    assert pages.paragraph(elsewhere) == pages.paragraph(silent) == []


def section_of(shelf, name):
    """What a page says of one task or variant."""
    return page(shelf).split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_short_list_of_variants_fits_a_terminal_but_for_long_formulas(capsys):
    assert main(["list", "attention"]) == 0
    formulas, laws = capsys.readouterr().out.split("\n\n")[:2]
    assert max(map(len, laws.splitlines())) <= 120
    for name in attention.names():
        assert f"{name} " in formulas
        assert attention.load(name).formula in formulas
        assert f"{name} " in laws


@pytest.mark.parametrize("shelf", catalogue.SHELVES)
def test_every_shelf_is_listed(shelf, capsys):
    assert main(["list", shelf]) == 0
    said = capsys.readouterr().out
    if shelf in ("tasks", "bounds"):
        assert all(name in said for name in tasks.names())
    assert max(map(len, said.splitlines())) < 400


def test_there_is_no_page_of_anything_else(capsys):
    assert main(["list", "traces", "--page"]) == 2
    assert "`list tasks --page` and `list attention --page`" in capsys.readouterr().err
