"""The laws of a task: each is a function that fails with one sentence. They run on any Task, also on a stranger's.

>>> from tasks.pairwise import Pairwise
>>> [verdict.law for verdict in check_task(Pairwise(), lengths=[2, 9]) if not verdict.passed]
[]

To add a law, write one more function ``law_<name>(task, length)``, or ``law_<name>(task)`` if it holds for no length
in particular; nothing else is edited.
"""

import doctest
import inspect
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from tasks.base import SPLITS, Instance, Ints, Task, Trace
from tasks.draws import FEW, MANY, digest, draw, parts
from tasks.shortcuts import SHORTCUTS, shortcut_scores
from tasks.verdict import Verdict, judge

SLOW = 3000  # steps; longer traces are read but not rebuilt step by step
HIDING = 3  # length from which shortcuts must fail: of two tokens, the sum is even whenever their distance is


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


def default_lengths(task: Task) -> list[int]:
    """The shortest length and a few more up to 64, most of them odd."""
    return sorted({task.shortest, *(n for n in (3, 7, 16, 33, 64) if task.shortest <= n <= task.longest)})


def law_same_stream_same_instance(task: Task, length: int) -> None:
    """The same stream gives the same instance, whatever was drawn in between."""
    for split in SPLITS:
        first, _, again = (parts(draw(task, length, split, FEW, stream)) for stream in (0, 1, 0))
        same = all(np.array_equal(first[part], again[part]) for part in first)
        assert same, f"two generators of one seed gave two instances of {split}; draw from the given rng only"


def law_other_stream_other_instance(task: Task, length: int) -> None:
    """Another stream gives another instance, except where boundary has only one twin to give."""
    for split in SPLITS:
        one, other = (draw(task, length, split, FEW, stream).prompt for stream in (0, 1))
        only_twin = split == "boundary" and len(np.unique(one, axis=0)) == 2
        assert only_twin or not np.array_equal(one, other), f"two seeds gave one instance of {split}; draw from the rng"


def law_global_randomness_untouched(task: Task, length: int) -> None:
    """Sampling, solving, tracing, reading out leave the global random states of numpy and of Python as they were."""
    before = _global_randomness()
    for split in SPLITS:
        prompt = draw(task, length, split, FEW).prompt
        task.solve(prompt)
        task.so_far(prompt)
        for trace in task.traces.values():
            trace.steps(prompt)
        for name, was, now in zip(("numpy's", "Python's"), before, _global_randomness(), strict=True):
            assert was == now, f"{split} changed {name} global random state; draw from the given rng only"


def law_tokens_lie_in_the_vocabulary(task: Task, length: int) -> None:
    """Prompts and answers, drawn and solved, are int64 tokens in ``[0, vocab)``."""
    for split in SPLITS:
        instance = draw(task, length, split, FEW)
        _hold_tokens(f"the prompt of {split}", instance.prompt, task)
        _hold_tokens(f"the answer of {split}", instance.answer, task)
        _hold_tokens(f"what solve says of {split}", task.solve(instance.prompt), task)


def law_shapes_depend_on_length_alone(task: Task, length: int) -> None:
    """Prompts are (B, P) and answers (B, A), where B is the size asked for and P and A depend on the length alone."""
    first = draw(task, length, SPLITS[0], FEW)
    for split, size, stream in product(SPLITS, (1, 2, 7), (0, 1)):
        instance = draw(task, length, split, size, stream)
        for part in ("prompt", "answer"):
            shape, of_first = getattr(instance, part).shape, getattr(first, part).shape
            assert len(shape) == 2, f"the {part} of {split} has shape {shape}; two axes are needed"
            expected = (size, *of_first[1:])
            assert shape == expected, f"the {part} of {size} x {split} has shape {shape}, expected {expected}"


def law_solve_finds_the_answer(task: Task, length: int) -> None:
    """``solve(prompt)`` is the answer that ``sample`` gave, on every split."""
    for split in SPLITS:
        instance = draw(task, length, split, FEW)
        solved = task.solve(instance.prompt)
        assert solved.shape == instance.answer.shape, f"solve has shape {solved.shape}, not {instance.answer.shape}"
        wrong = (solved != instance.answer).any(axis=1)
        assert not wrong.any(), f"{split}: solve and sample disagree on {instance.prompt[wrong][:1].tolist()}"


def law_answers_have_their_places(task: Task, length: int) -> None:
    """``at`` is None, or (B, A) int64 places in [0, P) that rise in each row; the task alone decides which."""
    inside = draw(task, task.shortest, SPLITS[0], FEW).at is not None
    for split, size in product(SPLITS, (1, 2, 7)):
        instance = draw(task, length, split, size)
        at, answer, places = instance.at, instance.answer, instance.prompt.shape[1]
        assert (at is not None) == inside, f"{split} says answers in other places than {SPLITS[0]} of {task.shortest}"
        if at is None:
            continue
        fits = at.shape == answer.shape == (size, *answer.shape[1:]) and at.dtype == np.int64
        assert fits, f"at of {split} is {at.dtype} {at.shape}, int64 {(size, *answer.shape[1:])} is needed"
        among = ((at >= 0) & (at < places)).all()
        assert among, f"at of {split} goes from {at.min()} to {at.max()}, 0 to {places - 1} are prompt tokens"
        assert (np.diff(at) > 0).all(), f"at of {split} must rise in each row: answers are said from left to right"


def law_answers_are_settled_where_they_are_said(task: Task) -> None:
    """What must be said inside a prompt depends on the tokens up to there; tried on many draws of the tiny size."""
    (tiny, length), settled = task.tiny(), {}
    for split in SPLITS:
        drawn = draw(tiny, length, split, MANY)
        if drawn.at is None:
            continue
        for prompt, answer, at in zip(drawn.prompt.tolist(), drawn.answer, drawn.at, strict=True):
            for token, place in zip(answer.tolist(), at.tolist(), strict=True):
                read = tuple(prompt[: place + 1])
                assert settled.setdefault(read, token) == token, f"after {read} two answers are right"


def law_so_far_ends_with_the_answer(task: Task, length: int) -> None:
    """``so_far`` is None or (B, P) tokens, -1 where there is no answer yet; its last column is the one answer token.

    Of several answer tokens, or of one that is said inside the prompt, the last column is not asked for.
    """
    for split in SPLITS:
        instance = draw(task, length, split, FEW)
        so_far = task.so_far(instance.prompt)
        if so_far is None:
            continue
        assert so_far.shape == instance.prompt.shape, f"so_far is {so_far.shape}, the prompt {instance.prompt.shape}"
        assert so_far.min() >= -1, f"so_far has tokens from {so_far.min()}; only -1 stands for no answer"
        _hold_tokens("so_far", np.maximum(so_far, 0), task)
        if instance.at is None and instance.answer.shape[1] == 1:
            wrong = so_far[:, -1] != instance.answer[:, 0]
            assert not wrong.any(), f"{split}: so_far ends wrong on {instance.prompt[wrong][:1].tolist()}"


def law_so_far_knows_the_past_alone(task: Task, length: int) -> None:
    """``so_far`` depends on the tokens up to each place: one for all tiny prompts that share them, and for twins."""
    tiny, tiny_length = task.tiny()
    prompt = tiny.prompts(tiny_length)
    so_far = tiny.so_far(prompt)
    for place in range(0 if so_far is None else prompt.shape[1]):
        _, example, group = np.unique(prompt[:, : place + 1], axis=0, return_index=True, return_inverse=True)
        other = so_far[:, place] != so_far[example[group.ravel()], place]
        assert not other.any(), f"after {prompt[other][:1, : place + 1].tolist()} so_far depends on what comes later"
    prompt = draw(task, length, "boundary", FEW).prompt
    so_far = task.so_far(prompt)
    if so_far is not None:
        shared = np.logical_and.accumulate(prompt[::2] == prompt[1::2], axis=1)
        other = shared & (so_far[::2] != so_far[1::2])
        assert not other.any(), f"so_far tells twins apart at place {np.nonzero(other)[1][0]}, before they differ"


def law_entropy_grows_with_length(task: Task, length: int) -> None:
    """``entropy`` is None or finite, from 0 to P log V, and no smaller than that of shorter prompts."""
    nats, most = task.entropy(length), draw(task, length, SPLITS[0], 1).prompt.shape[1] * np.log(task.vocab)
    if nats is None:
        return
    assert -1e-9 <= nats <= most + 1e-9, f"the entropy is {nats} nats; 0 to {most:.3f} are possible"
    for shorter in (task.shortest, max(task.shortest, length - 1)):
        before = task.entropy(shorter)
        grows = before is None or before <= nats + 1e-9
        assert grows, f"the entropy is {nats:.4f} nats, {before:.4f} at length {shorter}; longer prompts hold no less"


def law_entropy_is_that_of_the_draws(task: Task) -> None:
    """With tiny settings ``entropy`` is what 65,536 prompts of boundary show, and what as many of broad show."""
    tiny, longest = task.tiny()
    for split, length in product(SPLITS[:2], sorted({tiny.shortest, longest})):
        stated = tiny.entropy(length)
        if stated is not None:
            shown, error = _entropy(draw(tiny, length, split, 16 * MANY).prompt)
            agree = abs(shown - stated) <= error
            assert agree, f"{split} of length {length} shows {shown:.4f} ± {error:.4f} nats, {stated:.4f} are stated"


def law_twins_differ_by_the_smallest_edit(task: Task, length: int) -> None:
    """Rows 2i and 2i+1 of boundary differ in 1 to ``twin_tokens`` prompt tokens and ``solve`` tells them apart."""
    prompt = draw(task, length, "boundary", FEW).prompt
    edits = (prompt[::2] != prompt[1::2]).sum(axis=1)
    small = edits.min() >= 1 and edits.max() <= task.twin_tokens
    assert small, f"twins differ in {edits.min()} to {edits.max()} tokens, 1 to {task.twin_tokens} are allowed"
    answer = task.solve(prompt)
    same = (answer[::2] == answer[1::2]).all(axis=1)
    assert not same.any(), f"these twins have one answer: {prompt.reshape(len(same), 2, -1)[same][:1].tolist()}"


def law_traces_lead_to_the_answer(task: Task, length: int) -> None:
    """A trace is (B, count, width) tokens, ``read`` finds the answer in it, and up to 3,000 steps ``next`` rebuilds it.

    ``next`` sees the prompt and the steps before: what it rebuilds depends on nothing else.
    """
    for split, (name, trace) in product(SPLITS, task.traces.items()):
        instance = draw(task, length, split, FEW)
        _hold_trace(name, trace, task, instance, length)


def law_answers_are_balanced(task: Task, length: int) -> None:
    """No answer of boundary or broad is more frequent than ``chance``, within 5 standard errors, if A = 1.

    Rare answers are counts of a few, less regular than a normal variable: Bernstein's inequality adds 25/3 of a count.
    Longer answers may have structure (a sorted list starts small), so no column of theirs need be balanced.
    """
    chance = task.chance(length)
    for split in ("boundary", "broad"):
        answer = draw(task, length, split, MANY).answer
        if answer.shape[1] > 1:
            return
        counts = np.unique(answer, return_counts=True)[1]
        assert len(counts) <= round(1 / chance), f"{split} has {len(counts)} answers, chance({length}) = {chance:.3f}"
        share, most = counts.max() / MANY, chance + 5 * np.sqrt(chance * (1 - chance) / MANY) + 25 / 3 / MANY
        assert share <= most, f"{split}: {share:.3f} of the answers are the same, at most {most:.3f} is allowed"


def law_no_shortcut_tells_twins_apart(task: Task, length: int) -> None:
    """From length 3 on, every shortcut that ``task.shortcuts`` does not name is within 10 points of chance on twins.

    Not where boundary draws fewer than 64 prompts: of the eight prompts of three bits, one number may tell them all.
    """
    unknown = set(task.shortcuts) - set(SHORTCUTS)
    assert not unknown, f"shortcuts names {sorted(unknown)}; these exist: {', '.join(SHORTCUTS)}"
    if length < HIDING or len(np.unique(draw(task, length, "boundary", MANY).prompt, axis=0)) < FEW:
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
        drawn = draw(tiny, length, split, MANY)
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


def _entropy(prompt: Ints) -> tuple[float, float]:
    """Nats in a row, estimated as Miller and Madow do, and an error that allows for twins, 5 standard errors wide."""
    times = np.unique(prompt, axis=0, return_counts=True)[1]
    share, unseen = times / len(prompt), (len(times) - 1) / (2 * len(prompt))
    mean = -(share * np.log(share)).sum()
    spread = np.sqrt((share * (np.log(share) + mean) ** 2).sum())
    return float(mean + unseen), float(5 * spread * np.sqrt(2 / len(prompt)) + unseen)


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
    for index in range(trace.count(length) if trace.count(length) <= SLOW else 0):
        same = np.array_equal(trace.next(instance.prompt, steps[:, :index]), steps[:, index])
        assert same, f"the trace {name}: next does not give step {index} of {trace.count(length)} from those before"


LAWS: Mapping[str, Callable] = {name[4:]: law for name, law in list(globals().items()) if name.startswith("law_")}
