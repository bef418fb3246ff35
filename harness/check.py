"""The laws, held against somebody's own task and variant with their own settings."""

from collections.abc import Iterator

import torch

from harness import attention
from harness.attention.check import check_variant
from harness.catalogue import aligned
from harness.nearest import refusing
from harness.settings import Choice
from tasks.base import SPLITS, Task
from tasks.check import SHORTCUTS, Verdict, check_task, default_lengths, shortcut_scores


def of_task(task: Task) -> list[Verdict]:
    """Every law of ``tasks/check.py``."""
    return check_task(task)


def of_variant(chosen: Choice, defaults: Choice) -> list[Verdict]:
    """Every law of ``harness/attention/check.py``; the golden fingerprint is that of the default settings."""
    torch.set_num_threads(1)  # tiny products: sharing the cores makes them many times slower
    variant = attention.configured(chosen.name, chosen.settings)
    with refusing():
        variant(64, 4)
    found = check_variant(variant)
    return [verdict for verdict in found if chosen == defaults or "golden" not in verdict.law]


def verdicts(name: str, found: list[Verdict]) -> Iterator[str]:
    """The verdicts in lines."""
    yield f"{name}: {sum(v.passed for v in found)} of {len(found)} laws hold"
    for verdict in found:
        yield f"  {'holds' if verdict.passed else 'FAILS'}  {verdict.law.replace('_', ' ')}"
        if not verdict.passed:
            yield f"         {verdict.detail}"


def shortcuts(task: Task) -> Iterator[str]:
    """How far rules that look at one cheap feature get, in lines; chance is what twins should hold them to."""
    for split in SPLITS[:2]:
        scores = {n: shortcut_scores(task, n, split) for n in default_lengths(task)}
        yield f"shortcuts on {split}, accuracy by length (chance {task.chance(task.shortest):.2f})"
        heading = ["  ", *map(str, scores)]
        lines = [[f"  {name}", *(f"{score[name]:.2f}" for score in scores.values())] for name in SHORTCUTS]
        yield aligned([heading, *lines])
