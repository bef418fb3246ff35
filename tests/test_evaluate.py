"""Evaluation: an oracle scores exactly 1, a constant answer scores chance, and every measure says what it says."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tasks
from harness.draw import Source
from harness.evaluate import answer, evaluate
from harness.scratchpad import Scratchpad
from harness.sequence import encode, vocabulary
from tasks.base import Instance

NONE = Scratchpad("none", "trace", None, 0.0, 0.0)
FULL = Scratchpad("full", "trace", None, None, 0.0)
ONE = Scratchpad("one", "trace", None, 1.0, 0.0)
FILLER = Scratchpad("filler", "filler", None, 1.0, 1.0)
PADS = [NONE, FULL, ONE, FILLER]
PAIRWISE = Source(tasks.load("pairwise")(), FULL.canonical(tasks.load("pairwise")()), seed=3)


class Scripted(torch.nn.Module):
    """Stands where a model stands and says what ``say`` makes of the truth: (B, K·W + 1 + A) -> the same."""

    def __init__(self, source: Source, length: int, say=lambda truth: truth):
        super().__init__()
        self.source, self.length, self.say = source, length, say
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def truth(self, prompt: np.ndarray) -> torch.Tensor:
        """The right continuation, from ``solve`` and the trace, never from the batch's own answers."""
        instance = Instance(prompt, self.source.task.solve(prompt))
        return encode(self.source.task, self.source.scratchpad, instance, self.length)

    def generate(self, given, count, forced):
        batch = self.truth(self._prompt(given))
        said = self.say(batch.written.clone())
        assert said.shape[1] == count
        for offset, token in forced.items():
            said[:, offset] = token
        return said

    def forward(self, tokens, state=None, at=slice(None)):
        batch = self.truth(self._prompt(tokens))
        following = batch.tokens.clone()
        following[:, batch.given : -1] = self.say(batch.written.clone())
        return F.one_hot(following[:, 1:], vocabulary(self.source.task))[:, at].float(), None

    def _prompt(self, tokens):
        width = self.source.task.sample(np.random.default_rng(0), 2, self.length, "natural").prompt.shape[1]
        return tokens[:, 1 : 1 + width].numpy()


def scores(source, length, say=lambda truth: truth, splits=("boundary", "broad", "natural"), size=300):
    return list(evaluate(Scripted(source, length, say), source, [(split, length) for split in splits], size))


@pytest.mark.parametrize("pad", PADS, ids=lambda pad: pad.name)
def test_an_oracle_scores_exactly_one(task, pad):
    source = Source(task, pad.canonical(task), seed=3)
    for length in (task.shortest + 2, 9):
        for score in scores(source, length):
            assert score.accuracy == score.teacher_forced == score.token_accuracy == 1.0
            assert score.first_error is None
            assert score.right.all()


@pytest.mark.parametrize("pad", PADS, ids=lambda pad: pad.name)
def test_a_constant_answer_scores_chance(task, pad):
    source = Source(task, pad.canonical(task), seed=3)
    constant = int(source.items("broad", 9, 2).written[0, -1])

    def say(truth):
        truth[:, -1] = constant
        return truth

    for score in scores(source, 9, say, splits=("boundary", "broad")):
        answers = source.items(score.split, 9, 300).written[:, -1]
        assert score.accuracy == (answers == constant).double().mean().item()
        assert abs(score.accuracy - score.chance) < 5 * (0.25 / 300) ** 0.5


def test_chance_is_exact_where_the_answers_are_balanced_by_construction():
    def say(truth):
        truth[:, -1] = PAIRWISE.task.vocab - 1
        return truth

    for score in scores(PAIRWISE, 9, say, splits=("boundary", "broad"), size=500):
        assert score.accuracy == score.chance == score.majority == 0.5
        assert score.accuracy_low < 0.5 < score.accuracy_high


def test_majority_is_the_base_rate_of_the_natural_split(task):
    (score,) = scores(Source(task, NONE, seed=3), 9, splits=("natural",), size=1000)
    answers = task.solve(Source(task, NONE, seed=3).items("natural", 9, 1000).prompt[:, 1:-1].numpy())
    assert score.majority == np.unique(answers, return_counts=True)[1].max() / 1000
    assert score.majority > score.chance


def test_first_error_is_the_number_of_the_first_wrong_step():
    source, width = PAIRWISE, 2

    def say(truth):
        truth[:, 2 * width] += 1  # in step 3
        truth[:, 4 * width] += 1
        return truth

    (score,) = scores(source, 9, say, splits=("boundary",))
    assert score.first_error == 3.0
    assert score.accuracy == 1.0, "a wrong step alone does not make an answer wrong"


def test_the_answer_is_judged_free_running_and_not_teacher_forced():
    """A model that answers by reading its last step, whose own steps are wrong: teacher forcing would hide it."""
    source, trace = PAIRWISE, PAIRWISE.task.traces["running_extremes"]

    class Follower(Scripted):
        def generate(self, given, count, forced):
            truth = self.truth(self._prompt(given))
            said = truth.written.clone()
            steps = said[:, : truth.scratch].reshape(len(said), -1, trace.width)
            steps[:, -1] = steps[:, -1, :1]  # minimum written twice: all close, whatever the prompt
            said[:, -1:] = torch.from_numpy(trace.read(steps.numpy()))
            return said

    (score,) = evaluate(Follower(source, 9), source, [("boundary", 9)], 300)
    assert score.accuracy == score.chance
    assert score.teacher_forced == 1.0


def test_every_item_is_asked_once_whatever_the_blocks(task):
    source = Source(task, NONE, seed=3)
    (score,) = scores(source, 9, splits=("boundary",), size=601)
    assert len(score.right) == score.examples == 601


def test_answers_are_read_at_the_answer_positions(task):
    """A twin of the oracle that is right everywhere but in the answer is wrong everywhere."""
    source = Source(task, FULL.canonical(task), seed=3)
    batch = source.items("boundary", 9, 40)

    def say(truth):
        answers = torch.tensor(np.unique(batch.written[:, -1:].numpy()))
        truth[:, -1] = answers.sum() - truth[:, -1]
        return truth

    answers = answer(Scripted(source, 9, say), batch)
    assert not answers.right_tokens.any()
    assert not answers.teacher_forced.any()
    assert not answers.first_error.any()
