"""The laws of a task: each is a function that fails with one sentence. They run on any Task, also on a stranger's.

>>> from tasks.pairwise import Pairwise
>>> [verdict.law for verdict in check_task(Pairwise(), lengths=[2, 9]) if not verdict.passed]
[]

To add a law, write one more function ``law_<name>(task, length)``, or ``law_<name>(task)`` if it holds for no length
in particular; nothing else is edited.
"""

import doctest
import hashlib
import inspect
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from tasks.base import SPLITS, Instance, Ints, Task, Trace

SEED = 20_260_801  # of every stream in this file
FEW, MANY = 64, 4096  # rows for laws that hold row by row, rows for laws about frequencies
SLOW = 3000  # steps; longer traces are read but not rebuilt step by step
HIDING = 3  # length from which shortcuts must fail: of two tokens, the sum is even whenever their distance is


@dataclass(frozen=True)
class Verdict:
    """What a law said. ``detail`` is empty where it passed."""

    law: str
    passed: bool
    detail: str


def check_task(task: Task, lengths: Iterable[int] | None = None) -> list[Verdict]:
    """The verdict of every law, in the order of this file."""
    lengths = default_lengths(task) if lengths is None else list(lengths)
    return [check_law(name, task, lengths) for name in LAWS]


def check_law(name: str, task: Task, lengths: Iterable[int] | None = None) -> Verdict:
    """The verdict of one law: the first length at which it fails, if any."""
    law = LAWS[name]
    if "length" not in inspect.signature(law).parameters:
        return judge(law, task)
    for length in default_lengths(task) if lengths is None else lengths:
        verdict = judge(law, task, length)
        if not verdict.passed:
            return replace(verdict, detail=f"length {length}: {verdict.detail}")
    return Verdict(name, True, "")


def judge(law: Callable, *subject: object) -> Verdict:
    """What ``law(*subject)`` says. Any exception is a failure."""
    if not __debug__:
        raise RuntimeError("python -O removes assertions, and with them every law: run without -O")
    name = law.__name__.removeprefix("law_")
    try:
        law(*subject)
    except AssertionError as error:
        return Verdict(name, False, str(error))
    except Exception as error:
        return Verdict(name, False, f"{type(error).__name__}: {error}")
    return Verdict(name, True, "")


def default_lengths(task: Task) -> list[int]:
    """The shortest length and a few more up to 64, most of them odd."""
    return sorted({task.shortest, *(n for n in (3, 7, 16, 33, 64) if task.shortest <= n <= task.longest)})


def digest(task_class: type[Task]) -> str:
    """16 hex digits that stand for the first instances of each split under default settings, at two lengths."""
    task, content = task_class(), hashlib.sha256()
    for split, length in product(SPLITS, sorted({task.shortest, min(task.shortest + 5, task.longest)})):
        instance = _draw(task, length, split, FEW)
        content.update(instance.prompt.astype("<i8").tobytes() + instance.answer.astype("<i8").tobytes())
    return content.hexdigest()[:16]


def law_same_stream_same_instance(task: Task, length: int) -> None:
    """The same stream gives the same instance, whatever was drawn in between."""
    for split in SPLITS:
        first, _, again = (_draw(task, length, split, FEW, stream) for stream in (0, 1, 0))
        same = np.array_equal(first.prompt, again.prompt) and np.array_equal(first.answer, again.answer)
        assert same, f"two generators of one seed gave two instances of {split}; draw from the given rng only"


def law_other_stream_other_instance(task: Task, length: int) -> None:
    """Another stream gives another instance, except where boundary has only one twin to give."""
    for split in SPLITS:
        one, other = (_draw(task, length, split, FEW, stream).prompt for stream in (0, 1))
        only_twin = split == "boundary" and len(np.unique(one, axis=0)) == 2
        assert only_twin or not np.array_equal(one, other), f"two seeds gave one instance of {split}; draw from the rng"


def law_global_randomness_untouched(task: Task, length: int) -> None:
    """Sampling, solving and tracing leave the global random states of numpy and of Python as they were."""
    before = _global_randomness()
    for split in SPLITS:
        prompt = _draw(task, length, split, FEW).prompt
        task.solve(prompt)
        for trace in task.traces.values():
            trace.steps(prompt)
        for name, was, now in zip(("numpy's", "Python's"), before, _global_randomness(), strict=True):
            assert was == now, f"{split} changed {name} global random state; draw from the given rng only"


def law_tokens_lie_in_the_vocabulary(task: Task, length: int) -> None:
    """Prompts and answers, drawn and solved, are int64 tokens in ``[0, vocab)``."""
    for split in SPLITS:
        instance = _draw(task, length, split, FEW)
        _hold_tokens(f"the prompt of {split}", instance.prompt, task)
        _hold_tokens(f"the answer of {split}", instance.answer, task)
        _hold_tokens(f"what solve says of {split}", task.solve(instance.prompt), task)


def law_shapes_depend_on_length_alone(task: Task, length: int) -> None:
    """Prompts are (B, P) and answers (B, A), where B is the size asked for and P and A depend on the length alone."""
    first = _draw(task, length, SPLITS[0], FEW)
    for split, size, stream in product(SPLITS, (1, 2, 7), (0, 1)):
        instance = _draw(task, length, split, size, stream)
        for part in ("prompt", "answer"):
            shape, of_first = getattr(instance, part).shape, getattr(first, part).shape
            assert len(shape) == 2, f"the {part} of {split} has shape {shape}; two axes are needed"
            expected = (size, *of_first[1:])
            assert shape == expected, f"the {part} of {size} x {split} has shape {shape}, expected {expected}"


def law_solve_finds_the_answer(task: Task, length: int) -> None:
    """``solve(prompt)`` is the answer that ``sample`` gave, on every split."""
    for split in SPLITS:
        instance = _draw(task, length, split, FEW)
        solved = task.solve(instance.prompt)
        assert solved.shape == instance.answer.shape, f"solve has shape {solved.shape}, not {instance.answer.shape}"
        wrong = (solved != instance.answer).any(axis=1)
        assert not wrong.any(), f"{split}: solve and sample disagree on {instance.prompt[wrong][:1].tolist()}"


def law_twins_differ_by_the_smallest_edit(task: Task, length: int) -> None:
    """Rows 2i and 2i+1 of boundary differ in 1 to ``twin_tokens`` prompt tokens and ``solve`` tells them apart."""
    prompt = _draw(task, length, "boundary", FEW).prompt
    edits = (prompt[::2] != prompt[1::2]).sum(axis=1)
    small = edits.min() >= 1 and edits.max() <= task.twin_tokens
    assert small, f"twins differ in {edits.min()} to {edits.max()} tokens, 1 to {task.twin_tokens} are allowed"
    answer = task.solve(prompt)
    same = (answer[::2] == answer[1::2]).all(axis=1)
    assert not same.any(), f"these twins have one answer: {prompt.reshape(len(same), 2, -1)[same][:1].tolist()}"


def law_traces_lead_to_the_answer(task: Task, length: int) -> None:
    """A trace is (B, count, width) tokens, ``read`` finds the answer in it, and up to 3,000 steps ``next`` rebuilds it.

    ``next`` sees the prompt, the step before and its index: what it rebuilds depends on nothing else.
    """
    for split, (name, trace) in product(SPLITS, task.traces.items()):
        instance = _draw(task, length, split, FEW)
        _hold_trace(name, trace, task, instance, length)


def law_answers_are_balanced(task: Task, length: int) -> None:
    """No answer of boundary or broad is more frequent than ``chance``, within 5 standard errors, if A = 1.

    Longer answers may have structure (a sorted list starts small), so no column of theirs need be balanced.
    """
    chance = task.chance(length)
    for split in ("boundary", "broad"):
        answer = _draw(task, length, split, MANY).answer
        if answer.shape[1] > 1:
            return
        counts = np.unique(answer, return_counts=True)[1]
        assert len(counts) <= round(1 / chance), f"{split} has {len(counts)} answers, chance({length}) = {chance:.3f}"
        share, most = counts.max() / MANY, chance + 5 * np.sqrt(chance * (1 - chance) / MANY)
        assert share <= most, f"{split}: {share:.3f} of the answers are the same, at most {most:.3f} is allowed"


def law_no_shortcut_tells_twins_apart(task: Task, length: int) -> None:
    """From length 3 on, every shortcut that ``task.shortcuts`` does not name is within 10 points of chance on twins."""
    unknown = set(task.shortcuts) - set(SHORTCUTS)
    assert not unknown, f"shortcuts names {sorted(unknown)}; these exist: {', '.join(SHORTCUTS)}"
    if length < HIDING:
        return
    limit = task.chance(length) + 0.10
    leaks = {name: score for name, score in shortcut_scores(task, length).items() if name not in task.shortcuts}
    name, score = max(leaks.items(), key=lambda leak: leak[1], default=("", 0.0))
    assert score <= limit, f"the shortcut {name} is right on {score:.3f} of the twins, at most {limit:.3f} is allowed"


def law_every_tiny_prompt_is_right(task: Task) -> None:
    """At the tiny size all prompts are listed once, their traces read what ``solve`` says, and samples are listed."""
    tiny, length = task.tiny()
    every = Instance(tiny.prompts(length), tiny.solve(tiny.prompts(length)))
    _hold_tokens("a tiny prompt", every.prompt, tiny)
    answers = dict(zip(map(tuple, every.prompt.tolist()), every.answer.tolist(), strict=True))
    assert len(answers) == len(every), f"prompts({length}) lists {len(every)} prompts, {len(answers)} distinct ones"
    for name, trace in tiny.traces.items():
        _hold_trace(name, trace, tiny, every, length)
    for split in SPLITS:
        drawn = _draw(tiny, length, split, MANY)
        for prompt, answer in zip(map(tuple, drawn.prompt.tolist()), drawn.answer.tolist(), strict=True):
            assert prompt in answers, f"{split} drew {prompt}, which prompts({length}) does not list"
            assert answers[prompt] == answer, f"{split} drew {prompt} with answer {answer}, right is {answers[prompt]}"


def law_docstring_example_runs(task: Task) -> None:
    """The docstring of the class or of its module shows an example, and what it shows is what happens."""
    finder, runner, output = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False), []
    for place in (inspect.getmodule(type(task)), type(task)):
        for docstring in finder.find(place):
            runner.run(docstring, out=output.append)
    assert runner.tries, f"neither {type(task).__name__} nor its module has a docstring example (>>> ...)"
    assert not runner.failures, "".join(output)


def law_golden_digest_stands(task: Task) -> None:
    """The first instances under default settings are those that ``golden[version]`` was taken from."""
    now, stated = digest(type(task)), task.golden.get(task.version)
    assert now == stated, f"golden[{task.version}] is {stated!r}, the digest {now!r}; new instances need a new version"


def shortcut_scores(task: Task, length: int, split: str = "boundary") -> dict[str, float]:
    """Accuracy of every cheap rule: fitted on one sample, measured on another; all answer tokens must be right."""
    seen, fresh = (_draw(task, length, split, MANY, stream) for stream in (1, 2))
    scores = {}
    for name, rule in SHORTCUTS.items():
        features = rule(np.concatenate([seen.prompt, fresh.prompt]))  # (2B, F)
        fit = _majority_by_value if features.shape[1] == 1 else _least_squares
        guess = np.stack([fit(features, column) for column in seen.answer.T], axis=1)  # (B, A)
        scores[name] = float((guess == fresh.answer).all(axis=1).mean())
    return scores


def _bag_of_tokens(prompt: Ints) -> Ints:
    """How often each token occurs, (B, P) -> (B, V)."""
    tokens = prompt.max() + 1
    return np.stack([np.bincount(row, minlength=tokens) for row in prompt])


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
    votes = np.tile(np.bincount(answer) / (len(answer) + 1), (value.max() + 1, 1))  # less than one vote each
    np.add.at(votes, (value[: len(answer)], answer), 1)
    return kinds[votes[value[len(answer) :]].argmax(axis=1)]


def _least_squares(features: Ints, answer: Ints) -> Ints:
    """The answer (B,) whose indicator a ridge regression on the features (2B, F) of the first B rows finds largest."""
    kinds, answer = np.unique(answer, return_inverse=True)
    features = features - features[: len(answer)].mean(axis=0)
    seen, fresh = np.split(np.column_stack([features, np.ones(len(features))]), [len(answer)])
    weights = np.linalg.solve(seen.T @ seen + np.eye(seen.shape[1]), seen.T @ np.eye(len(kinds))[answer])
    return kinds[(fresh @ weights).argmax(axis=1)]


def _draw(task: Task, length: int, split: str, size: int, stream: int = 0) -> Instance:
    """An instance that is read-only, so that a task that writes into its prompt is caught as well."""
    rng = np.random.default_rng([SEED, stream, length, SPLITS.index(split)])
    instance = task.sample(rng, size, length, split)
    instance.prompt.setflags(write=False)
    instance.answer.setflags(write=False)
    return instance


def _global_randomness() -> tuple:
    numpys = np.random.get_state()  # noqa: NPY002 - the legacy state is what must not change
    return tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in numpys), random.getstate()


def _hold_tokens(name: str, tokens: Ints, task: Task) -> None:
    assert tokens.dtype == np.int64, f"{name} is {tokens.dtype}, int64 is needed"
    inside = ((tokens >= 0) & (tokens < task.vocab)).all()
    assert inside, f"{name} has tokens from {tokens.min()} to {tokens.max()}, 0 to {task.vocab - 1} are allowed"


def _hold_trace(name: str, trace: Trace, task: Task, instance: Instance, length: int) -> None:
    steps, expected = trace.steps(instance.prompt), (len(instance), trace.count(length), trace.width)
    assert steps.shape == expected, f"the trace {name} has shape {steps.shape}, count and width say {expected}"
    _hold_tokens(f"the trace {name}", steps, task)
    wrong = (trace.read(steps) != instance.answer).any(axis=1)
    assert not wrong.any(), f"the trace {name} reads a wrong answer on {instance.prompt[wrong][:1].tolist()}"
    step = None
    for index in range(trace.count(length) if trace.count(length) <= SLOW else 0):
        step = trace.next(instance.prompt, step, index)
        same = np.array_equal(step, steps[:, index])
        assert same, f"the trace {name}: next does not give step {index} of {trace.count(length)} from the step before"


LAWS: Mapping[str, Callable] = {name[4:]: law for name, law in list(globals().items()) if name.startswith("law_")}
