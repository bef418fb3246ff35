"""What there is: tasks, traces, variants, positions, scratchpads, with what is known of each."""

import sys
from collections.abc import Sequence
from types import ModuleType

import tasks

SHELVES = ("tasks", "traces", "attention", "positions", "scratchpads")


def shelf(name: str) -> str:
    """One part of the catalogue as text; ``name`` is one of ``SHELVES``."""
    if name in ("positions", "scratchpads"):
        return _choices(name.removesuffix("s"))
    return {"tasks": _tasks, "traces": _traces, "attention": _attention}[name]()


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Cells as a table of left-aligned columns, the first line its heading."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _tasks() -> str:
    blocks = []
    for name in tasks.names():
        task = tasks.load(name)()
        about = _summary(sys.modules[type(task).__module__])
        lines = [f"{name}: {about}", f"  lengths  {task.shortest} to {task.longest}"]
        for resource, bound in vars(task.theory).items():
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


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]
