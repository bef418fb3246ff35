"""The least state of a recurrence in the middle of a prompt: what brute force over all prompts finds there.

A bound that holds for long prompts only would call a run of short ones a leak.
"""

import math

import numpy as np
import pytest

from tasks.base import Task
from tasks.distinctness import Distinctness
from tasks.match2 import Match2
from tasks.pairwise import Pairwise

FEW = 300_000  # prompts that brute force goes through


def classes(task: Task, length: int, cut: int) -> int | None:
    """Residual classes after so many tokens: prefixes that no rest tells apart are one. None where rests differ."""
    prompts = task.prompts(length)
    answers = np.unique(task.solve(prompts), axis=0, return_inverse=True)[1].ravel()
    prefix = np.unique(prompts[:, :cut], axis=0, return_inverse=True)[1].ravel()
    counts = np.bincount(prefix)
    if len(set(counts)) > 1:
        return None
    order = np.lexsort((*prompts[:, cut:].T[::-1], prefix))
    return len(np.unique(answers[order].reshape(len(counts), -1), axis=0))


def worst_cut(task: Task, length: int) -> int:
    tokens = task.prompts(length).shape[1]
    return max(filter(None, (classes(task, length, cut) for cut in range(1, tokens))), default=1)


def lengths(task: Task, most: int):
    return [n for n in range(task.shortest, most + 1) if len(task.prompts(n)) <= FEW]


def test_no_bound_is_above_brute_force(task):
    tiny, most = type(task).tiny()
    if tiny.state_bits(most) is None:
        return
    for length in lengths(tiny, most):
        assert tiny.state_bits(length) <= math.log2(worst_cut(tiny, length)) + 1e-9, length


@pytest.mark.parametrize(
    ("tight", "most"),
    [
        (Pairwise(alpha=3, values=6), 5),
        (Pairwise(alpha=4, values=6), 5),
        (Pairwise(alpha=2, values=4, dim=2, norm="linf"), 4),
        (Pairwise(alpha=2, values=2, dim=2, norm="hamming"), 6),
        (Pairwise(alpha=3, values=2, dim=3, norm="hamming"), 5),
        (Distinctness(values=8), 4),
        (Match2(modulus=6), 5),
        (Match2(modulus=5), 5),
    ],
    ids=repr,
)
def test_where_the_classes_are_known_the_bound_is_brute_force(tight, most):
    for length in lengths(tight, most):
        assert tight.state_bits(length) == pytest.approx(math.log2(classes(tight, length, length // 2))), length


def test_a_bound_for_long_prompts_is_caught():
    task = Distinctness(values=8)
    assert math.log2(task.classes()) > math.log2(worst_cut(task, 3))
