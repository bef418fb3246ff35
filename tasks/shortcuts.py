"""Cheap rules: how far does one feature of the prompt go? A task that they solve is easier than it looks.

To add one, write a function (B, P) -> (B, F) and name it in ``SHORTCUTS``.

>>> seen = Instance(prompt=np.array([[1, 5], [2, 5], [1, 6]]), answer=np.array([[7], [8], [7]]))
>>> score(SHORTCUTS["first_token"], seen, fresh=seen), score(SHORTCUTS["total"], seen, fresh=seen)
(1.0, 0.6666666666666666)
"""

from collections.abc import Callable, Mapping

import numpy as np

from tasks.base import Instance, Ints, Task
from tasks.draws import MANY, draw

COMMON = 512  # tokens that a bag counts one by one; in a larger vocabulary each is too rare to be learned from


def shortcut_scores(task: Task, length: int, split: str = "boundary") -> dict[str, float]:
    """Accuracy of every cheap rule: fitted on one sample, measured on another; all answer tokens must be right."""
    return scores(*(draw(task, length, split, MANY, stream) for stream in (1, 2)))


def scores(seen: Instance, fresh: Instance) -> dict[str, float]:
    """Accuracy on ``fresh`` of every cheap rule, fitted on ``seen``."""
    return {name: score(rule, seen, fresh) for name, rule in SHORTCUTS.items()}


def score(rule: Callable[[Ints], Ints], seen: Instance, fresh: Instance) -> float:
    """Accuracy on ``fresh`` of a rule that was fitted on ``seen``; all answer tokens must be right."""
    features = rule(np.concatenate([seen.prompt, fresh.prompt]))  # (2B, F)
    fit = _majority_by_value if features.shape[1] == 1 else _least_squares
    known, asked = np.split(features, [len(seen)])
    expected = fresh.answer
    for number, column in enumerate(seen.answer.T):
        if not len(asked):
            break
        right = fit(np.concatenate([known, asked]), column) == expected[:, number]
        asked, expected = asked[right], expected[right]  # a row that is wrong somewhere is asked no more
    return len(expected) / len(fresh)


def _bag_of_tokens(prompt: Ints) -> Ints:
    """How often each token occurs, the ``COMMON`` most frequent ones and all others together, (B, P) -> (B, F)."""
    frequency = np.bincount(prompt.ravel())
    common = np.argsort(-frequency, kind="stable")[:COMMON]
    place = np.full(len(frequency), len(common))
    place[common] = np.arange(len(common))
    bags, columns = np.arange(len(prompt))[:, None], len(common) + 1
    counts = np.bincount((bags * columns + place[prompt]).ravel(), minlength=len(prompt) * columns)
    return counts.reshape(-1, columns)


def _extreme_ties(prompt: Ints) -> Ints:
    """How often the smallest and the largest token occur, (B, P) -> (B, 1)."""
    tokens = np.sort(prompt)
    return ((tokens == tokens[:, :1]) | (tokens == tokens[:, -1:])).sum(axis=1, keepdims=True)


# (B, P) -> (B, F). A rule of one number is fitted by a table of its values, a rule of several by least squares.
SHORTCUTS: Mapping[str, Callable[[Ints], Ints]] = {
    "first_token": lambda prompt: prompt[:, :1],
    "last_token": lambda prompt: prompt[:, -1:],
    "minimum": lambda prompt: prompt.min(axis=1, keepdims=True),
    "maximum": lambda prompt: prompt.max(axis=1, keepdims=True),
    "total": lambda prompt: prompt.sum(axis=1, keepdims=True),
    "distinct_tokens": lambda prompt: (np.diff(np.sort(prompt)) > 0).sum(axis=1, keepdims=True) + 1,
    "extreme_ties": _extreme_ties,
    "bag_of_tokens": _bag_of_tokens,
    "positions": lambda prompt: prompt,  # one-hot in position x token would be exact, but has 4,096 columns at 64 x 64
}


def _majority_by_value(features: Ints, answer: Ints) -> Ints:
    """The most common answer (B,) seen with each value (2B, 1); the most common of all where a value is new."""
    kinds, answer = np.unique(answer, return_inverse=True)
    value = np.unique(features, return_inverse=True)[1].ravel()
    overall = np.bincount(answer)
    favourite = np.full(value.max() + 1, overall.argmax())
    cells, votes = np.unique(value[: len(answer)] * len(kinds) + answer, return_counts=True)
    value_of, answer_of = np.divmod(cells, len(kinds))
    rising = np.lexsort([overall[answer_of], votes])  # where votes are equal, the answer that is more common
    favourite[value_of[rising]] = answer_of[rising]  # of several, the last one stays
    return kinds[favourite[value[len(answer) :]]]


def _least_squares(features: Ints, answer: Ints) -> Ints:
    """The answer (B,) whose indicator a ridge regression on the features (2B, F) of the first B rows finds largest."""
    kinds, answer = np.unique(answer, return_inverse=True)
    features = features - features[: len(answer)].mean(axis=0)
    seen, fresh = np.split(np.column_stack([features, np.ones(len(features))]), [len(answer)])
    sums = np.zeros((len(kinds), seen.shape[1]))  # of the rows of each answer: the indicators' products with seen
    np.add.at(sums, answer, seen)
    weights = np.linalg.solve(seen.T @ seen + np.eye(seen.shape[1]), sums.T)
    return kinds[(fresh @ weights).argmax(axis=1)]
