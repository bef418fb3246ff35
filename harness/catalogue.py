"""What there is: tasks, their bounds and traces, variants, positions, scratchpads, with what is known of each."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest
from textwrap import wrap

import tasks
from tasks.base import Instance, Ints, Task
from tasks.draws import draw

SHELVES = ("tasks", "bounds", "traces", "attention", "positions", "scratchpads")
CELL = 26  # letters in a line of a bound, so that the five stand side by side
EXAMPLE = 6  # length of a drawn example, or the task's shortest


def shelf(name: str) -> str:
    """One part of the catalogue as text; ``name`` is one of ``SHELVES``."""
    if name in ("positions", "scratchpads"):
        return _choices(name.removesuffix("s"))
    return {"tasks": _tasks, "bounds": _bounds, "traces": _traces, "attention": _attention}[name]()


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


def page() -> str:
    """``docs/tasks.md``: every task with a drawn example and its twin, its traces, its bounds."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Tasks"
    yield ""
    yield "Every problem: its question, an example and its twin (the edit in brackets), the algorithms that solve it in"
    yield "the open with their step laws, what is known of its cost. The first command below wrote this page. When a"
    yield "task is a test of anything: [validity](validity.md). Writing one: [adding](adding.md)."
    yield ""
    yield from ("```bash", "python -m harness list tasks --page", "python -m harness list traces", "```")
    yield ""
    yield from _table(["task", "question"], [[f"[`{n}`](#{n})", about(tasks.load(n))] for n in tasks.names()])
    for name in tasks.names():
        yield from _section(name, tasks.load(name)())


def _section(name: str, task: Task) -> Iterator[str]:
    yield from ("", f"## {name}", "", f"**{about(type(task))}**")
    yield ""
    settings = ", ".join(f"`{key}={value}`" for key, value in asdict(task).items()) or "none"
    yield f"Settings: {settings}. Lengths {task.shortest} to {task.longest}, {task.vocab} tokens."
    if task.shortcuts:
        yield f"Cheap rules that solve it by its nature: {', '.join(f'`{rule}`' for rule in task.shortcuts)}."
    yield from ("", "```text", *twin(task, example(task)), "```")
    for other in type(task).variations():
        yield from ("", f"With `{changed(other)}`:", "", "```text", *twin(other, example(other)), "```")
    rows = {}
    for one in (task, *type(task).variations()):
        for trace, how in one.traces.items():
            counts = [str(how.count(n)) if task.shortest <= n <= task.longest else "" for n in (8, 16, 32)]
            rows.setdefault(trace, [f"`{trace}`", how.law, *counts, str(how.width)])
    yield ""
    if rows:
        yield from _table(["trace", "steps", "n = 8", "16", "32", "tokens per step"], rows.values())
    else:
        yield "No trace: what is asked is said before a step could be written, or is itself the derivation."
    yield ""
    bounds = [
        [resource, bound.bound, bound.condition, bound.source, "exact" if bound.exact else "asymptotic"]
        for resource, bound in vars(task.theory).items()
    ]
    yield from _table(["cost", "bound", "when", "source", ""], bounds)


def _table(heading: Sequence[str], rows) -> Iterator[str]:
    for cells in (heading, ["---"] * len(heading), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _attention() -> str:
    from harness import attention, config  # torch

    lines = [["attention", "formula", "state after n tokens", "pairs per decoded token", "source"]]
    for name in attention.names():
        mixer = attention.configured(name, config.variant([f"attention={name}"]).settings)(64, 4)
        state = _growth([mixer.state_size(n) for n in (1024, 1025)])
        pairs = _growth([mixer.scored_pairs(1, n) for n in (1024, 1025)])
        lines.append([name, mixer.formula, state, pairs, mixer.source])
    return aligned(lines) + "\n(numbers of one layer at width 64, 4 heads)"


def _growth(values: Sequence[int]) -> str:
    slope = values[1] - values[0]
    return f"{values[0]} at n = 1024, " + (f"+{slope} a token" if slope else "constant")


def _choices(group: str) -> str:
    """The entries of a folder of ``conf/``, each with the first line of its yaml."""
    from harness.config import CONF, choices

    lines = [[group, ""]]
    for name in choices(group):
        lines.append([name, (CONF / group / f"{name}.yaml").read_text().splitlines()[0].removeprefix("# ")])
    return aligned(lines)
