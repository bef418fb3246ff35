"""The validity report: a solver passes through the real pipeline, and each way of testing nothing is named."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from harness import baselines, config, draw, validity
from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.scratchpad import Scratchpad
from harness.validity import Oracle, Point, points, unreachable, verdict
from tasks.base import SPLITS, Instance
from tasks.pairwise import Pairwise
from tasks.recall import Recall
from tests.test_experiment import small

SCRATCHPADS = {
    "none": Scratchpad("none", "trace", None, 0.0, 0.0),
    "full": Scratchpad("full", "trace", None, None, 0.0),
    "filler": Scratchpad("filler", "filler", None, 3.0, 0.0),
}


def accuracy(task, scratchpad, length, split="broad"):
    source = Source(task, scratchpad, seed=0)
    (score,) = evaluate(Oracle(source, length), source, [Question(split, length)], 20)
    return score


def test_a_solver_is_right_through_the_real_pipeline(task, scratchpad):
    for split in SPLITS:
        score = accuracy(task, scratchpad, task.shortest + 5, split)
        assert (score.accuracy, score.token_accuracy) == (1.0, 1.0)
        assert score.teacher_forced in (1.0, None)
        assert score.first_error is None


@dataclass(frozen=True)
class Mistaken(Pairwise):
    """Every fourth answer that it gives is wrong."""

    def sample(self, rng, size, length, split):
        drawn = super().sample(rng, size, length, split)
        other = 2 * self.values + 1 - drawn.answer
        return replace(drawn, answer=np.where(np.arange(size)[:, None] % 4 == 0, other, drawn.answer))


def test_a_task_that_gives_wrong_answers_is_broken():
    assert accuracy(Mistaken(), SCRATCHPADS["none"], 6).accuracy == 0.75
    (point, *_) = points(replace(small(), task=Mistaken()), quiet=True)
    assert "broken" in verdict(Mistaken(), [point])


def test_a_pipeline_that_loses_the_answer_is_found(monkeypatch):
    def hands_too_little(*given, real=draw.encode, **named):
        batch = real(*given, **named)
        return replace(batch, given=batch.given - 1)

    monkeypatch.setattr(draw, "encode", hands_too_little)
    assert accuracy(Pairwise(), SCRATCHPADS["none"], 6).accuracy == 0


@dataclass(frozen=True)
class SaidTooSoon(Recall):
    """Each answer is asked for at the prompt's first tokens."""

    def sample(self, rng, size, length, split):
        drawn = super().sample(rng, size, length, split)
        return replace(drawn, at=np.tile(np.arange(self.pairs), (size, 1)))


def test_answers_that_cannot_be_known_are_counted_under_the_mask():
    for mask in ("causal", "prefix", "encoder"):
        assert unreachable(Recall(), 16, mask) == 0
        assert unreachable(Pairwise(), 16, mask) == 0
    soon = unreachable(SaidTooSoon(), 16, "causal")
    assert 0.1 < soon < 0.25, "a twin differs in one of four answers, most often behind its place"
    assert unreachable(SaidTooSoon(), 16, "encoder") == soon
    assert unreachable(SaidTooSoon(), 16, "prefix") == 0, "a prefix shows the whole prompt"


def test_points_say_what_was_drawn():
    found = points(
        small("task.values=8", "train.lengths=[2,3]", "evaluate.lengths=[2,7]", "train.updates=300"), quiet=True
    )
    assert [(point.split, point.length) for point in found] == [(s, n) for s in SPLITS for n in (2, 7)]
    at = {(point.split, point.length): point for point in found}
    assert at["boundary", 2].seen == 1, "there are 20 such twins"
    assert at["boundary", 7].seen == 0, "length 7 is not trained"
    assert all(point.oracle == 1 and point.constant == 0 and point.answers == 2 for point in found if point.length == 2)
    assert at["boundary", 2].tokens == 2 + 4
    assert at["boundary", 7].majority == 0.5 < at["natural", 7].majority


def test_seen_is_what_training_draws():
    point = small("train.lengths=[5]", "evaluate.lengths=[5]", "train.updates=6")
    source = Source.of(point)
    drawn = {row.tobytes() for update in range(6) for row in source.batch(5, 6, 0.5, update).prompt[:, 1:6].numpy()}
    for found in points(point, quiet=True):
        test = source.instances(found.split, 5, 30).prompt
        assert found.seen == np.mean([row.tobytes() in drawn for row in test])


# (B, P) -> (B,) bool that one kind of feature shows and the others do not
PLANTS = {
    "tokens_logistic": lambda prompt: (prompt % 2).sum(axis=1) > prompt.shape[1] / 2,
    "bigrams_logistic": lambda prompt: ((prompt[:, :-1] == 3) & (prompt[:, 1:] == 5)).any(axis=1),
    "positions_logistic": lambda prompt: (prompt[:, 1] + 3 * (prompt[:, 2] % 2)) > 4,
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_trained_rule_finds_what_it_looks_for(plant):
    prompt = np.random.default_rng(1).integers(0, 8, (6000, 11))
    prompt[::2, 4:6] = prompt[::2, 7:9] = 3, 5
    prompt[1::2, 4:6] = prompt[1::2, 7:9] = 5, 3
    if plant != "bigrams_logistic":
        prompt = np.random.default_rng(1).integers(0, 8, (6000, 11))
    answer = PLANTS[plant](prompt).astype(np.int64)[:, None]
    found = baselines.scores(Instance(prompt[:4000], answer[:4000]), Instance(prompt[4000:], answer[4000:]))
    assert max(found, key=found.get) == plant, found
    assert found[plant] > 0.97


def test_trained_rules_can_be_asked_of_the_shortest_prompts(task):
    seen, fresh = (task.sample(np.random.default_rng(n), 200, task.shortest, "broad") for n in (1, 2))
    assert all(0 <= score <= 1 for score in baselines.scores(seen, fresh).values())


def test_of_a_longer_answer_single_tokens_count():
    answer = np.array([[1, 2], [1, 3], [1, 2], [0, 2]])
    assert baselines.majority(answer) == 0.75
    prompt = np.random.default_rng(3).integers(0, 2, (900, 6))
    half = np.column_stack([prompt[:, 2], np.random.default_rng(4).integers(0, 2, 900)])  # one is shown, one is not
    found = baselines.scores(Instance(prompt[:600], half[:600]), Instance(prompt[600:], half[600:]))
    assert 0.7 < found["positions_logistic"] < 0.8


def test_a_trained_rule_says_what_is_frequent():
    answer = np.arange(400)[:, None] % 200 // 100  # the prompt says nothing
    constant = Instance(np.ones((400, 3), dtype=np.int64), 0 * answer)
    assert set(baselines.scores(constant, constant).values()) == {1.0}
    many = Instance(np.arange(1200).reshape(400, 3), np.arange(400)[:, None])
    assert max(baselines.scores(many, many).values()) <= baselines.KINDS / 400, "no more answers than are told apart"


GOOD = Point("broad", 8, 12, 2, 0.5, 0.5, 0.0, 0.0, 1.0, 0.0, {"total": 0.6, "maximum": 0.55}, None, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {},
            "Verdict: informative on broad at length 8; the task names first_token as solving it by nature; no run is",
        ),
        ({"oracle": 0.999}, "broken (the solver is not always right)"),
        ({"unreachable": 0.01}, "answers cannot be known"),
        ({"constant": 1.0}, "the answer never changes"),
        ({"rules": {"total": 0.91}}, "cheap rule total is within 10 points of perfect)"),
        (
            {"rules": {"first_token": 0.91}},
            "first_token is within 10 points of perfect, and solves the problem by its",
        ),
        ({"commonest": 0.95}, "cheap rule majority"),
        ({"best": 0.51, "at_chance": True}, "the strongest recorded run sits at chance"),
        ({"best": 0.7}, "Verdict: informative"),
        ({"seen": 0.5}, "training draws half of the test prompts or more on broad 8"),
    ],
)
def test_the_verdict_is_in_words(change, said):
    class Easy(Pairwise):
        shortcuts = ("first_token",)

    assert said in verdict(Easy(), [replace(GOOD, **change)])


def test_recorded_runs_are_the_baselines(tmp_path, capsys):
    from harness.__main__ import main

    line = ["task=pairwise", "task.alpha=3", "task.values=8", "train.lengths=[3]", "evaluate.lengths=[3]"]
    line += ["train.updates=2", "train.batch=4", "evaluate.examples=40", "model.width=8", "model.heads=2"]
    assert main([*line, "--results", str(tmp_path)]) == 0
    capsys.readouterr()
    (point,) = config.points(line)
    found = {p.split: p for p in points(point, [tmp_path], quiet=True)}
    assert all(p.best is not None for p in found.values())
    assert found["boundary"].at_chance
    other = replace(point, task=Pairwise(alpha=4, values=8))
    assert all(p.best is None for p in points(other, [tmp_path], quiet=True)), "another alpha is another problem"


def test_the_report_ends_in_its_verdict(capsys):
    point = small()
    found = points(point, quiet=True)
    *table, last = validity.lines(point, found)
    assert last.startswith("Verdict: ")
    assert table[0].startswith("validity of pairwise: mask=causal")
    for name in ("bigrams_logistic", "first_token", "minimum"):
        assert any(name in line for line in table)
