"""One problem, looked at: prompt and twin, every trace step by step, and what a model wrote, where it first erred."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from harness import store
from harness.catalogue import twin
from harness.draw import BLOCK, Source
from harness.evaluate import Answers, answer
from harness.experiment import trained
from harness.sequence import Batch, word
from harness.settings import Experiment
from tasks.base import Task


def instance(experiment: Experiment, length: int) -> Iterator[str]:
    """A boundary instance with its twin, and every trace of both, in lines."""
    task = experiment.task
    pair = Source.of(experiment).instances("boundary", length, 2)
    yield f"{experiment.task_name}, length {length}: a boundary instance and its twin, the edit in brackets"
    yield from (f"  {line}" for line in twin(task, pair))
    for name, trace in task.traces.items():
        yield ""
        tokens = f"{trace.width} token" + ("s" if trace.width > 1 else "")
        yield f"{name}: {trace.law} steps of {tokens}, {trace.count(length)} at length {length}"
        both = trace.steps(pair.prompt)
        for index, (one, other) in enumerate(zip(both[0], both[1], strict=True), start=1):
            yield f"  {index:>4}  {_words(task, one):<20} {_words(task, other)}"
        answers = [_words(task, said) for said in trace.read(both)]
        yield f"  read  {answers[0]:<20} {answers[1]}"


def written(folder: Path, experiment: Experiment, length: int, split: str) -> Iterator[str]:
    """What the model of a run wrote on its first two test items, and on the first that it got wrong, in lines."""
    record = store.load_record(folder)
    model = trained(folder, experiment, record)
    source = Source.of(experiment)
    batch = source.items(split, length, BLOCK)
    answers = answer(model, batch)  # as many steps as were trained
    wrong = np.flatnonzero(~answers.right_tokens.all(1))
    yield f"{folder.name}: what it wrote on {split}, length {length}"
    yield f"{len(wrong)} of the first {len(batch.tokens)} answers are wrong"
    for item in dict.fromkeys([0, 1, *wrong[:1].tolist()]):
        yield ""
        yield f"item {item}"
        yield f"  given   {_words(experiment.task, batch.prompt[item])}"
        yield from _row(experiment.task, batch, answers, item)


def _row(task: Task, batch: Batch, answers: Answers, item: int) -> Iterator[str]:
    said, right = answers.said[item], batch.answer[item].numpy()
    if batch.inside:
        for place, token, true in zip(batch.said[item].tolist(), said, right, strict=True):
            asked = word(task, int(batch.tokens[item, place]))
            yield f"  at {asked} (token {place})  {task.word(token)}   ({_verdict(task, token == true, [true])})"
        return
    wrote, true = answers.written[item], batch.written[item].numpy()
    steps = zip(*(tokens[: batch.scratch].reshape(-1, batch.step) for tokens in (wrote, true)), strict=True)
    for index, (step, expected) in enumerate(steps, start=1):
        first = index == answers.first_error[item]
        mark = f"   <- first wrong step, right is {_words(task, expected)}" if first else ""
        yield f"  {index:>6}  {_words(task, step)}{mark}"
    yield f"  answer  {_words(task, said)}   ({_verdict(task, (said == right).all(), right)})"


def _verdict(task: Task, right: bool, answer: Iterable[int]) -> str:
    return "right" if right else f"wrong, right is {_words(task, answer)}"


def _words(task: Task, tokens: Iterable[int]) -> str:
    return " ".join(word(task, int(token)) for token in tokens)
