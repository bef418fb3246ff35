"""How often does one item decide? Sensitivity by position, on average and at most.

A prompt is sensitive at a place if some other item there changes its answer. The sensitivity of a prompt is the number
of such places; its mean over all prompts is the average sensitivity (of bits, the total influence), its largest value
the sensitivity of the function. Prompts are uniform over all sequences of items that are one; a change that leaves no
prompt is none.

>>> from tasks.majority import Majority
>>> [round(row["some"], 3) for row in rows(Majority(), 5)], next(rows(Majority(), 5))["maximal"]
([0.375, 0.375, 0.375, 0.375, 0.375], 3)

A bit decides if the four others are even: 6 of 16. Two against three are sensitive at the three.
"""

from bisect import bisect_right
from collections.abc import Iterator
from math import prod

import numpy as np

from harness.report.stats import wilson
from harness.seeding import rng
from harness.theory.automata import automaton, places
from harness.theory.communication import NO_PROMPT, layered
from tasks.base import Ints, Task

ALL = 2**18  # prompts that are enumerated
SAMPLE = 400  # of more prompts
WORK = 2**22  # items read again in all changed prompts of a sample, at most: seconds


def rows(task: Task, length: int, seed: int = 0) -> Iterator[dict]:
    """A row for each place of a prompt of this length, from 0 on; a head and a separator have places too.

    ``some``: share of prompts whose answer some change of that item changes. ``drawn``: the same for one drawn
    uniformly among the other items that leave a prompt. ``average`` and ``maximal`` are over whole prompts and the same
    in each row. ``exact``: over all ``prompts``, intervals of width 0; else over a sample of so many, with 95 % Wilson
    intervals for the shares, and ``maximal`` is the largest met, a lower bound. Raises ValueError for a length the task
    has not, a task without an automaton, and for too many changes: then the sentence says which length can be done.
    """
    task.refuse(length, "natural")
    found = answers(task, length, ALL)
    exact = found is not None
    if exact:
        some, drawn = _all(found)
    else:
        if _work(task, length) > WORK:
            raise ValueError(
                f"length={length}: over {WORK:,} items to read in changed prompts; {_possible(task, length)}"
            )
        some, drawn = _sampled(task, length, seed)
    for place in range(some.shape[1]):
        shares = {"some": some[:, place], "drawn": drawn[:, place]}
        row = {"length": length, "place": place, "exact": exact, "prompts": len(some)}
        for name, changed in shares.items():
            share = float(changed.mean())
            low, high = (share, share) if exact else wilson(int(changed.sum()), len(changed))
            row |= {name: share, f"{name}_low": low, f"{name}_high": high}
        yield row | {"average": float(some.sum(axis=1).mean()), "maximal": int(some.sum(axis=1).max())}


def answers(task: Task, length: int, most: int) -> Ints | None:
    """The answers of all prompts, numbered from 0; an axis for each place, -1 where a sequence of items is no prompt.

    None if there are more than ``most`` sequences. Raises ValueError for a task without an automaton.
    """
    shape = [len(items) for items in places(task, length)]
    if prod(shape) > most:
        return None
    layers, states = layered(task, length, prod(shape) * len(shape)), np.zeros(1, dtype=np.int64)
    for after in layers.after:
        states = np.concatenate([after, np.full_like(after[:1], NO_PROMPT)])[states].ravel()
    said = np.append(layers.answer, NO_PROMPT)[states]
    return said.reshape(shape)


def _all(answers: Ints) -> tuple[np.ndarray, np.ndarray]:
    """Of every prompt (N, n): does some change of an item change its answer, and what share of changes does so?"""
    prompts = answers >= 0
    some, drawn = [], []
    for place in range(answers.ndim):
        possible = prompts.sum(axis=place, keepdims=True)
        same = np.zeros_like(answers)
        for answer in range(answers.max() + 1):
            equal = answers == answer
            same += equal * equal.sum(axis=place, keepdims=True)
        changed = np.where(prompts, possible - same, 0)
        some.append((changed > 0)[prompts])
        drawn.append((changed / np.maximum(possible - 1, 1))[prompts])
    return np.stack(some, axis=1), np.stack(drawn, axis=1)


def _sampled(task: Task, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of SAMPLE prompts (N, n): does some change of an item change its answer, and does a drawn one?"""
    machine, allowed = automaton(task), places(task, length)
    random = rng(seed, f"sensitivity/{task}/{length}", 0)

    def step(state, item):
        return None if state is None else machine.step(state, item)

    def read(items):
        states = [machine.start]
        for item in items:
            states.append(step(states[-1], item))
        return states

    def turns(states, items, place, other):
        """None if what it leaves is no prompt."""
        state = step(states[place], other)
        for at in range(place + 1, len(items)):
            if state is None or state == states[at]:
                break
            state = step(state, items[at])
        else:
            at = len(items)
        if state is None:
            return None
        return state != states[at] and machine.answer(state) != machine.answer(states[at])

    some, drawn = np.zeros((2, SAMPLE, len(allowed)), dtype=bool)
    for number in range(SAMPLE):
        states = [None]
        while states[-1] is None:
            items = [int(random.integers(place.start, place.stop)) for place in allowed]
            states = read(items)
        for place, choice in enumerate(allowed):
            others = random.permutation([item for item in choice if item != items[place]]).tolist()
            changes = (turns(states, items, place, other) for other in others)
            changes = (change for change in changes if change is not None)
            drawn[number, place] = next(changes, False)
            some[number, place] = drawn[number, place] or any(changes)
    return some, drawn


def _work(task: Task, length: int) -> int:
    """Items that a sample reads again, an upper bound: each change is read on to the end."""
    sizes = [len(items) for items in places(task, length)]
    return SAMPLE * sum((size - 1) * (len(sizes) - place) for place, size in enumerate(sizes))


def _possible(task: Task, length: int) -> str:
    """The longest shorter length that can be done."""
    fitting = bisect_right(range(task.shortest, length), WORK, key=lambda shorter: _work(task, shorter))
    return (
        f"length={task.shortest + fitting - 1} can be done" if fitting else "no length can be done with these settings"
    )
