"""Evaluation: an oracle scores exactly 1, a constant answer scores chance, and every measure says what it says."""

from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tasks
from harness import config, cost, rows
from harness.draw import Source
from harness.evaluate import AS_TRAINED, Question, Stop, answer, evaluate
from harness.model import build
from harness.scratchpad import Scratchpad
from harness.sequence import encode, vocabulary
from tasks.base import SPLITS, Instance

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
        drawn = [source.instances(split, length, 1000) for split in SPLITS]
        inside = drawn[0].at is not None
        self.at = (
            {p.tobytes(): at for one in drawn for p, at in zip(one.prompt, one.at, strict=True)} if inside else None
        )
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def truth(self, prompt: np.ndarray) -> torch.Tensor:
        """The right continuation, from ``solve`` and the trace, never from the batch's own answers."""
        at = None if self.at is None else np.stack([self.at[row.tobytes()] for row in prompt])
        instance = Instance(prompt, self.source.task.solve(prompt), at)
        return encode(self.source.task, self.source.scratchpad, instance, self.length, dense=self.source.dense)

    def generate(self, given, count, forced, until=None, after=0):
        batch = self.truth(self._prompt(given))
        said = self.say(batch.written.clone())
        assert said.shape[1] == count or until is not None
        for offset, token in forced.items():
            if offset < said.shape[1]:
                said[:, offset] = token
        return said

    def read(self, tokens, given, at):
        batch = self.truth(self._prompt(tokens))
        following = batch.targets.clone()
        following[:, given - 1 : -1] = batch.tokens[:, given:]
        if batch.inside:
            following.scatter_(1, batch.said, self.say(batch.answer.clone()))
        else:
            following[:, given - 1 : -2] = self.say(batch.written.clone())
        at = torch.arange(tokens.shape[1]).expand(len(tokens), -1)[:, at] if isinstance(at, slice) else at
        return F.one_hot(following.gather(1, at).clamp(0), vocabulary(self.source.task)).float()

    def stops(self, tokens, given, at):
        return torch.ones_like(tokens[:, at] if isinstance(at, slice) else at)

    def _prompt(self, tokens):
        width = self.source.task.sample(np.random.default_rng(0), 2, self.length, "natural").prompt.shape[1]
        return tokens[:, 1 : 1 + width].numpy()


def scores(source, length, say=lambda truth: truth, splits=("boundary", "broad", "natural"), size=300, stop=AS_TRAINED):
    return list(
        evaluate(Scripted(source, length, say), source, [Question(split, length, stop) for split in splits], size)
    )


@pytest.fixture
def pads(task):
    """The scratchpads that this task can have."""
    one = task.sample(np.random.default_rng(0), 2, task.shortest, "natural")
    return [pad.canonical(task) for pad in PADS if pad is NONE or (one.at is None and (task.traces or pad is FILLER))]


def lengths(task):
    """Two at which the task can be asked."""
    return task.shortest + 2, task.shortest + 7


def test_an_oracle_scores_exactly_one(task, pads):
    for pad, length in product(pads, lengths(task)):
        source = Source(task, pad, seed=3)
        for score in scores(source, length):
            assert score.accuracy == score.teacher_forced == score.token_accuracy == 1.0
            assert score.first_error is None
            assert score.right.all()


def test_a_constant_answer_scores_chance(task, pads):
    length = task.shortest + 7
    for pad in pads:
        source = Source(task, pad, seed=3)
        constant = source.items("broad", length, 2).answer[0]

        def say(truth, constant=constant):
            truth[:, -len(constant) :] = constant
            return truth

        for score in scores(source, length, say, splits=("boundary", "broad")):
            answers = source.items(score.split, length, 300).answer
            assert score.accuracy == (answers == constant).all(1).double().mean().item()
            assert abs(score.accuracy - score.chance) < 5 * (0.25 / 300) ** 0.5


def test_chance_is_exact_where_the_answers_are_balanced_by_construction():
    def say(truth):
        truth[:, -1] = PAIRWISE.task.vocab - 1
        return truth

    for score in scores(PAIRWISE, 9, say, splits=("boundary", "broad"), size=500):
        assert score.accuracy == score.chance == score.majority == 0.5
        assert score.accuracy_low < 0.5 < score.accuracy_high


def test_majority_is_the_base_rate_of_the_natural_split(task):
    source, length = Source(task, NONE, seed=3), task.shortest + 7
    (score,) = scores(source, length, splits=("natural",), size=1000)
    answers = task.solve(source.instances("natural", length, 1000).prompt)
    assert score.majority == np.unique(answers, axis=0, return_counts=True)[1].max() / 1000


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
        def generate(self, given, count, forced, until=None, after=0):
            truth = self.truth(self._prompt(given))
            said = truth.written.clone()
            steps = said[:, : truth.scratch].reshape(len(said), -1, trace.width)
            steps[:, -1] = steps[:, -1, :1]  # minimum written twice: all close, whatever the prompt
            said[:, -1:] = torch.from_numpy(trace.read(steps.numpy()))
            return said

    (score,) = evaluate(Follower(source, 9), source, [Question("boundary", 9)], 300)
    assert score.accuracy == score.chance
    assert score.teacher_forced == 1.0


def test_every_item_is_asked_once_whatever_the_blocks(task):
    source = Source(task, NONE, seed=3)
    (score,) = scores(source, task.shortest + 7, splits=("boundary",), size=601)
    assert len(score.right) == score.examples == 601


def test_answers_are_read_at_the_answer_positions(task, pads):
    """A twin of the oracle that is right everywhere but in the answer is wrong everywhere."""
    length = task.shortest + 7
    source = Source(task, pads[-1], seed=3)
    batch = source.items("boundary", length, 40)

    def say(truth):
        truth[:, -batch.answer.shape[1] :] = (
            batch.answer.roll(1, 0) if batch.answer.shape[1] > 1 else batch.answer.flip(0)
        )
        return truth

    answers = answer(Scripted(source, length, say), batch)
    wrong = (say(batch.answer.clone()) != batch.answer).all(1).numpy()
    assert wrong.any()
    assert not answers.right_tokens[wrong].any()
    assert not answers.teacher_forced[wrong].any()
    assert not answers.first_error.any()


def early(source, steps):
    """Writes ANSWER and the right answer after so many true steps, row by row, and then whatever."""

    def say(truth):
        batch = source.items("boundary", 9, len(truth))
        rows = []
        for row, k in zip(truth, steps, strict=True):
            scratch, rest = row[: k * batch.step], row[batch.scratch :]
            rows.append(torch.cat([scratch, rest, row.new_zeros(len(row) - len(scratch) - len(rest))]))
        return torch.stack(rows)

    return say


def test_a_model_that_stops_itself_is_read_where_it_stopped():
    size, steps = 8, [9, 9, 1, 0, 3, 9, 5, 2]
    model = Scripted(PAIRWISE, 9, early(PAIRWISE, steps))
    (score,) = evaluate(model, PAIRWISE, [Question("boundary", 9, Stop(26, own=True))], size)
    assert score.accuracy == 1.0
    assert score.steps == np.mean(steps)
    assert score.scratch_tokens == 2 * np.mean(steps)
    assert score.scratch.tolist() == [2 * k for k in steps]
    assert score.first_error is None, "to stop early is no wrong step"
    (forced,) = evaluate(model, PAIRWISE, [Question("boundary", 9)], size)
    assert forced.accuracy < 1.0, "read after nine steps, most of these rows say something else"


def test_own_stop_and_budget_agree_where_the_model_writes_its_full_trace(task, pads):
    length = task.shortest + 2
    for pad in pads:
        if pad.source(task) is not None:
            budget, own = (
                scores(Source(task, pad, seed=3), length, stop=stop) for stop in (Stop(), Stop(99, own=True))
            )
            for one, other in zip(budget, own, strict=True):
                assert (one.accuracy, one.steps, one.scratch_tokens) == (
                    other.accuracy,
                    other.steps,
                    other.scratch_tokens,
                )


def test_a_forced_early_stop_is_read_after_so_many_steps_and_judged_on_them():
    """Nine steps are known; after four ANSWER is put in the model's mouth, after eleven there is no true scratchpad."""

    class Stopped(Scripted):
        def generate(self, given, count, forced, until=None, after=0):
            truth = self.truth(self._prompt(given))
            (at,), answer = forced, truth.answer
            steps = torch.cat([truth.written[:, : truth.scratch], truth.written[:, :4]], 1)[:, :at]
            steps[:, 2] += 1  # in the second step
            return torch.cat([steps, torch.full_like(answer, forced[at]), answer], 1)

        def read(self, tokens, given, at):
            assert tokens.shape[1] == given + 4 * 2 + 2, "the true steps up to there, ANSWER, the answer"
            truth = self.truth(self._prompt(tokens))
            assert torch.equal(tokens[:, given : given + 8], truth.written[:, :8])
            return F.one_hot(truth.answer, vocabulary(self.source.task)).float()

    model = Stopped(PAIRWISE, 9)
    (score,) = evaluate(model, PAIRWISE, [Question("boundary", 9, Stop(4))], 10)
    assert (score.steps, score.scratch_tokens, score.accuracy, score.first_error) == (4, 8, 1.0, 2.0)
    assert score.teacher_forced == 1.0


def test_the_dense_readout_is_scored_where_it_is_trained(task):
    length = task.shortest + 7
    so_far = task.so_far(Source(task, NONE, seed=3).instances("broad", length, 300).prompt)
    (plain,) = scores(Source(task, NONE, seed=3), length, splits=("broad",))
    assert plain.dense_accuracy is None
    if so_far is not None:
        (dense,) = scores(Source(task, NONE, seed=3, dense=True), length, splits=("broad",))
        assert dense.dense_accuracy == 1.0

        class Constant(Scripted):
            def read(self, tokens, given, at):
                return torch.zeros(*super().read(tokens, given, at).shape).index_fill(
                    2, torch.tensor(so_far.max()), 1.0
                )

        source = Source(task, NONE, 3, dense=True)
        (constant,) = evaluate(Constant(source, length), source, [Question("broad", length)], 300)
        share = (so_far == so_far.max()).sum(1) / (so_far >= 0).sum(1)
        assert np.isclose(constant.dense_accuracy, share.mean())


def test_a_scratchpad_that_was_ended_at_the_limit_costs_what_a_forced_one_does():
    (point,) = config.points(["task=parity", "scratchpad=full"])
    model = build(point)
    batch = Source(point.task, point.scratchpad, 0).items("broad", 4, 10)
    stop, limit, once = Stop(16, own=True), 16, np.ones(10, dtype=int)
    forced, itself = cost.answering(model, batch, limit), cost.answering(model, batch, limit, own=True)
    assert itself.serial_steps == forced.serial_steps + 1
    for scratch, expected in (([limit] * 10, forced), ([4] * 10, cost.answering(model, batch, 4, own=True))):
        assert rows.mean_cost(model, batch, np.array(scratch), stop, once) == asdict(expected)
    half = rows.mean_cost(model, batch, np.array([4] * 5 + [limit] * 5), stop, once)["serial_steps"]
    assert half == (forced.serial_steps + cost.answering(model, batch, 4, own=True).serial_steps) / 2


BUDGETS = [Question("broad", 5, stop) for stop in (AS_TRAINED, Stop(0), Stop(2), Stop(30, own=True))]


def budgets(*words):
    """Scores of a model at several budgets together and one by one, and the tokens that it read, call by call."""
    (point,) = config.points(["task=pairwise", "task.values=8", "task.alpha=3", "scratchpad=full", *words])
    model, source, read = build(point).double(), Source.of(point), []
    model.register_forward_hook(lambda _, given, named, said: read.append(given[0].shape[1]), with_kwargs=True)
    together = list(evaluate(model, source, BUDGETS, 40))
    shared, alone = read[:], [score for one in BUDGETS for score in evaluate(model, source, [one], 40)]
    return together, alone, shared, read[len(shared) :]


@pytest.mark.parametrize(
    ("words", "shares"),
    [
        (["attention=softmax"], True),
        (["attention=linear"], True),
        (["attention=gru", "position=none"], True),
        (["attention=hybrid", "attention.layers=[window,delta]"], True),
        (["mask=prefix"], False),
        (["mask=encoder"], False),
        (["position=randomized"], False),
    ],
)
def test_a_prompt_is_read_once_for_all_its_budgets(words, shares, monkeypatch):
    """The same answers as one by one, from fewer tokens: all but the last of a prompt is read once for each block."""
    monkeypatch.setattr("harness.evaluate.BLOCK", 20)
    together, alone, shared, apart = budgets(*words)
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.right, other.right)
        assert {k: v for k, v in asdict(one).items() if not isinstance(v, np.ndarray)} == pytest.approx(
            {k: v for k, v in asdict(other).items() if not isinstance(v, np.ndarray)}, nan_ok=True
        )
    prompt = 2 + 5  # START, the items, THINK
    assert sum(apart) - sum(shared) == shares * 2 * (len(BUDGETS) - 1) * (prompt - 1)


def test_each_budget_reads_on_from_a_copy(monkeypatch):
    """A state with room is spent by whoever reads on from it: no two budgets have a tensor in common."""
    (point,) = config.points(["task=pairwise", "task.values=8", "task.alpha=3", "scratchpad=full"])
    model, handed = build(point), []
    generate = model.generate

    def kept(*arguments, state, **named):
        handed.append([part for layer in state for part in layer if isinstance(part, torch.Tensor)])
        return generate(*arguments, state=state, **named)

    monkeypatch.setattr(model, "generate", kept)
    list(evaluate(model, Source.of(point), [Question("broad", 5, Stop(steps)) for steps in (2, 0, 2)], 20))
    places = [part.data_ptr() for state in handed for part in state]
    assert len(handed) == 3
    assert len(set(places)) == len(places)


def test_a_state_that_is_shared_is_not_spent():
    """The longest answer first: what it wrote is not there for the next."""
    questions = [Question("broad", 5, Stop(steps)) for steps in (9, 0, 9)]
    (point,) = config.points(["task=pairwise", "task.values=8", "task.alpha=3", "scratchpad=full"])
    first, _, again = evaluate(build(point), Source.of(point), questions, 40)
    assert np.array_equal(first.right, again.right)
    assert first.token_accuracy == again.token_accuracy


@pytest.mark.parametrize(("pads", "reads"), [(NONE, 1), (ONE, 3)])
def test_what_was_read_is_not_read_again(pads, reads):
    """Where nothing that a model wrote stands before its answer, reading the truth would be reading the same."""
    task = tasks.load("pairwise")(values=8, alpha=3)
    (point,) = config.points(["task=pairwise", "task.values=8", "task.alpha=3"])
    source, calls = Source(task, pads.canonical(task), 3), []
    model = build(point)
    model.register_forward_hook(lambda *_: calls.append(1))
    (score,) = evaluate(model, source, [Question("broad", 5)], 200)
    assert len(calls) >= reads
    assert (len(calls) == 1) == (pads is NONE)
    assert pads is not NONE or score.teacher_forced == score.accuracy
