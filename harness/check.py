"""The laws, held against somebody's own task and variant with their own settings."""

from collections.abc import Iterator

import torch

from harness import attention
from harness.attention.check import check_variant
from harness.nearest import refusing
from harness.settings import Choice
from tasks.base import Task
from tasks.check import Verdict, check_task


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
