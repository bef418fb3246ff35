"""Cheap rules that are trained: how far does a linear classifier go that sees one kind of feature of the prompt?

They stand beside the shortcuts of ``tasks/shortcuts.py``, which look at one number each.

To add one, write a function (B, P) -> (B, P') of integers, each of which is a feature that occurs, and name it in
``FEATURES``.
"""

import warnings
from collections.abc import Callable, Mapping

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from tasks.base import Instance, Ints

ASKED = 4  # answer tokens that are asked for, evenly spaced with the last
COMMON = 2**13  # features, and ...
KINDS = 64  # ... answers that are told apart, the most frequent ones; a rarer one is too rare to be learned from
ITERATIONS = 40


def _tokens(prompt: Ints) -> Ints:
    """Which tokens occur, and how often."""
    return prompt


def _bigrams(prompt: Ints) -> Ints:
    """Which two tokens stand side by side, and how often."""
    return prompt[:, :-1] * (prompt.max() + 1) + prompt[:, 1:]


def _positions(prompt: Ints) -> Ints:
    """Which token stands where."""
    return prompt * prompt.shape[1] + np.arange(prompt.shape[1])


# (B, P) -> (B, P') features that occur in a prompt, as numbers; a linear classifier sees how often each does.
FEATURES: Mapping[str, Callable[[Ints], Ints]] = {
    "tokens_logistic": _tokens,
    "bigrams_logistic": _bigrams,
    "positions_logistic": _positions,
}


def scores(seen: Instance, fresh: Instance) -> dict[str, float]:
    """Accuracy on ``fresh`` of a logistic regression on each kind of feature, fitted on ``seen``."""
    return {name: score(features, seen, fresh) for name, features in FEATURES.items()}


def score(features: Callable[[Ints], Ints], seen: Instance, fresh: Instance) -> float:
    """Share of the answer tokens of ``fresh`` that are right, of at most four tokens of each answer."""
    counts = _counts(features(np.concatenate([seen.prompt, fresh.prompt])))
    known, asked = counts[: len(seen)], counts[len(seen) :]
    answers = seen.answer.shape[1]
    columns = range(answers - 1, -1, -max(1, answers // ASKED))
    right = [_fitted(known, seen.answer[:, column], asked) == fresh.answer[:, column] for column in columns]
    return float(np.mean(right))


def majority(answer: Ints) -> float:
    """Share of the answer tokens that are the commonest in their place, (B, A)."""
    return float(np.mean([np.unique(column, return_counts=True)[1].max() / len(answer) for column in answer.T]))


def _counts(features: Ints) -> csr_array:
    """(B, F): how often each feature that occurs at all does."""
    _, place, times = np.unique(features, return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(-times, kind="stable"))[place.ravel()]
    size, width = features.shape
    rows, kept = np.repeat(np.arange(size), width), rank < COMMON
    shape = (size, min(len(times), COMMON))
    return csr_array((np.ones(kept.sum()), (rows[kept], rank[kept])), shape=shape)


def _fitted(known: csr_array, answer: Ints, asked: csr_array) -> Ints:
    kinds, times = np.unique(answer, return_counts=True)
    if len(kinds) == 1 or known.shape[1] == 0:
        return np.full(asked.shape[0], kinds[times.argmax()])
    frequent = np.isin(answer, kinds[np.argsort(-times, kind="stable")[:KINDS]])
    known, answer = known[np.flatnonzero(frequent)], answer[frequent]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of answers too many, fits too short: a rule that is not perfect is one too
        return LogisticRegression(max_iter=ITERATIONS, tol=1e-3).fit(known, answer).predict(asked)
