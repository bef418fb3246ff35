"""What there is: tasks, their bounds and traces, variants, positions, scratchpads, with what is known of each."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import zip_longest
from textwrap import wrap
from typing import Any

import tasks
from harness import groups
from tasks.base import Instance, Ints, Task
from tasks.draws import draw

SHELVES = ("tasks", "bounds", "traces", "attention", "positions", "scratchpads", "studies")
CELL = 26  # letters in a line of a bound, so that the five stand side by side
EXAMPLE = 6  # length of a drawn example, or the task's shortest


def shelf(name: str) -> str:
    """One part of the catalogue as text; ``name`` is one of ``SHELVES``."""
    if name in ("positions", "scratchpads"):
        return _choices(name.removesuffix("s"))
    shelves = {"tasks": _tasks, "bounds": _bounds, "traces": _traces, "attention": _attention, "studies": _studies}
    return shelves[name]()


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a table of left-aligned columns, the first line its heading."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def about(kind: type[Task]) -> str:
    """The question of a task: the first line of its module."""
    return (sys.modules[kind.__module__].__doc__ or "").strip().splitlines()[0]


def changed(task: Task) -> str:
    """The settings in which a task differs from its defaults, as they are typed."""
    default, settings = asdict(type(task)()), asdict(task)
    return " ".join(f"task.{key}={value}" for key, value in settings.items() if value != default[key])


def twin(task: Task, pair: Instance) -> list[str]:
    """A twin in two lines, the edit in brackets, the answers behind it or where they are said."""
    edited, lines = pair.prompt[0] != pair.prompt[1], []
    for row, (prompt, said) in enumerate(zip(pair.prompt, pair.answer, strict=True)):
        cells = [("[{}]" if e else " {} ").format(task.word(int(t))) for t, e in zip(prompt, edited, strict=True)]
        if pair.at is not None:
            for place, token in zip(pair.at[row], said, strict=True):
                cells[place] += f"-> {task.word(int(token))} "
        after = "" if pair.at is not None else f"   -> {words(task, said)}"
        lines.append("".join(f"{cell:>5}" for cell in cells) + after)
    return lines


def words(task: Task, tokens: Ints) -> str:
    """Tokens as a person reads them."""
    return " ".join(task.word(int(token)) for token in tokens)


def example(task: Task) -> Instance:
    """A boundary instance with its twin: the same on every day."""
    return draw(task, max(EXAMPLE, task.shortest), "boundary", 2)


def _tasks() -> str:
    lines = [["task", "lengths", "time", "state", "circuit", "steps", "layers"]]
    for name in tasks.names():
        task = tasks.load(name)()
        bounds = [bound.bound for bound in vars(task.theory).values()]
        cells = [[name], [f"{task.shortest}-{task.longest}"], *(wrap(bound, CELL) for bound in bounds)]
        lines += [*zip_longest(*cells, fillvalue=""), [""] * len(lines[0])]
    questions = aligned([[name, about(tasks.load(name))] for name in tasks.names()])
    return f"{questions}\n\n{aligned(lines).rstrip()}\n\n(when each holds and who proved it: list bounds)"


def _bounds() -> str:
    blocks = []
    for name in tasks.names():
        lines = [name]
        for resource, bound in vars(tasks.load(name)().theory).items():
            kind = "exact" if bound.exact else "asymptotic"
            lines.append(f"  {resource:<8} {bound.bound}  ({kind}; {bound.source})")
            lines += [f"           when {bound.condition}"] if bound.condition else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _traces() -> str:
    lines = [["task", "trace", "steps", "tokens per step", ""]]
    for name in tasks.names():
        for number, (trace, how) in enumerate(tasks.load(name)().traces.items()):
            lines.append([name, trace, how.law, str(how.width), "" if number else "default"])
    return aligned(lines)


def _attention() -> str:
    from harness import attention  # torch
    from harness.attention import growth

    formulas, lines = [["attention", "formula"]], [["attention", "state after n tokens", "pairs of one more", "masks"]]
    for name in attention.names():
        mixer = variant(name)(64, 4)
        laws = {(price.what, price.unit): growth.law(price).words for price in growth.prices(mixer)}
        formulas.append([name, mixer.formula])
        state = laws.get(("state", "numbers"), "none, every token is a pass")
        lines.append([name, state, laws["one more token", "pairs"], " ".join(mixer.masks)])
    more = "numbers and pairs of one layer of width 64, 4 heads; what each costs and why: check attention=NAME"
    mixed = "attention=hybrid attention.layers=[softmax,linear] has a variant for each layer"
    return f"{aligned(formulas)}\n\n{aligned(lines)}\n\n({more})\n({mixed})"


def variant(name: str) -> Callable[[int, int], Any]:
    """(width, heads) -> a mixer under the default settings, with the first of its masks."""
    from harness import attention, config  # torch

    chosen = config.variant([f"attention={name}"])
    return attention.configured(name, chosen.settings, attention.load(name).masks[0])


def _studies() -> str:
    from harness import study

    lines = [["study", "minutes on 2 cores", "claims", "question"]]
    for name in study.names():
        one = study.Study.load(name)
        minutes = ", ".join(f"{size} {said['minutes']:g}" for size, said in one.sizes.items())
        lines.append([name, minutes, " ".join(one.claims), one.question])
    return f"{aligned(lines)}\n\n(python -m harness study=NAME study.size=smoke|small|full)"


def _choices(group: str) -> str:
    """The entries of a folder of ``conf/``, each with the first line of its yaml."""
    lines = [[group, ""]]
    for name in groups.choices(group):
        lines.append([name, groups.text(group, name).splitlines()[0].removeprefix("# ")])
    return aligned(lines)
