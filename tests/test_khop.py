"""k-hop induction heads, held against the paper's text search and a recurrence in plain Python."""

import doctest
from collections import Counter
from itertools import pairwise, product
from math import log

import numpy as np
import pytest

from tasks import pointers
from tasks.base import SPLITS
from tasks.khop import Khop

A, NONE = 33, 37  # the first of four characters, none


def sample(task, size, length, split):
    return task.sample(np.random.default_rng(0), size, length, split)


def hopped(hops, text, none=NONE):
    """The answer for each place. One pass whose state is, of each character, what 0 .. k hops from after it lead to."""
    after, answers, before = {}, [], None
    for character in text:
        here = [character, *after.get(character, [none] * (hops + 1))][: hops + 1]
        after[before] = here
        before = character
        answers.append(here[hops])
    return answers


def possible(text):
    """How many hops can be made from the last place, and where it and they are, from 0 on."""
    places = [len(text) - 1]
    while True:
        earlier = [j for j in range(1, places[-1] + 1) if text[j - 1] == text[places[-1]]]
        if not earlier:
            return len(places) - 1, places
        places.append(earlier[-1])


@pytest.mark.parametrize("asked", ["every", "last"])
def test_every_text_of_six_is_right(asked):
    task = Khop(hops=4, asked=asked)
    texts = [text for text in product(range(A, NONE), repeat=6) if all(x != y for x, y in pairwise(text))]
    prompts = task.prompts(6)
    assert prompts.tolist() == [[k, *text] for k in range(5) for text in texts]
    expected = np.array([hopped(k, text) for k in range(5) for text in texts])
    assert (task.solve(prompts) == (expected if asked == "every" else expected[:, -1:])).all()
    if asked == "last":
        assert (task.so_far(prompts)[:, 1:] == expected).all()
        for trace in task.traces.values():
            assert (trace.read(trace.steps(prompts)) == expected[:, -1:]).all()
    else:
        assert task.so_far(prompts) is None
        assert task.traces == {}


def test_answers_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    for _ in range(200):
        steps = rng.integers(1, 4, 98).cumsum() % 4
        text, hops = "".join("abcd"[c] for c in steps), int(rng.integers(0, 17))
        strings, indices = [text], [range(98)]
        for _ in range(hops):  # its code: a character that is new, or comes from a place that does not exist, is ~
            found = [-1 if i < 0 else text[: max(i, 0)].rfind(c) for i, c in zip(indices[-1], strings[-1], strict=True)]
            indices.append([f + 1 if f >= 0 else -1 for f in found])
            strings.append([text[i] if i >= 0 else "~" for i in indices[-1]])
        task = Khop(asked="every")
        answer = task.solve(np.array([[hops, *(A + steps)]]))
        assert [task.word(token).replace("none", "~") for token in answer[0]] == list(strings[-1])


def test_the_example_of_pointers_runs():
    assert doctest.testmod(pointers) == (0, 4)


def test_steps_name_the_places_that_are_visited():
    task = Khop()
    prompt = sample(task, 50, 40, "broad").prompt
    walk, doubling = (task.traces[name].steps(prompt) for name in ("hops", "doubling"))
    for row, steps, rounds in zip(prompt.tolist(), walk.tolist(), doubling.reshape(50, 5, 41, 3).tolist(), strict=True):
        count, places = possible(row[1:])
        path = [1 + places[k] if k <= count else 0 for k in range(17)]
        expected = [path[min(hop, row[0])] for hop in range(1, 17)]
        assert [33 * high + low for high, low, _ in steps] == expected
        assert [character for *_, character in steps] == [row[place] if place else NONE for place in expected]
        for bit, written in enumerate(rounds):
            assert written[-2][:2] == list(divmod(path[2**bit], 33))
            assert written[-1][:2] == list(divmod(path[row[0] % 2 ** (bit + 1)], 33))


@pytest.mark.parametrize("one", [Khop(), Khop(hops=2), Khop(characters=26), Khop(least=4), Khop(asked="every")])
def test_twins_change_the_answer_by_one_character(one):
    none, sizes, places = one.vocab - 1, Counter(), Counter()
    for length in (max(24, one.shortest), max(31, one.shortest + 1)):
        drawn = sample(one, 2000, length, "boundary")
        for row, twin in drawn.prompt.reshape(1000, 2, -1).tolist():
            answers = [hopped(prompt[0], prompt[1:], none)[-1] for prompt in (row, twin)]
            (edited,) = [place for place in range(1, length + 1) if row[place] != twin[place]]
            assert all(x != y for prompt in (row, twin) for x, y in pairwise(prompt))
            assert row[0] == twin[0] >= max(one.least, 1)
            assert answers[0] != answers[1]
            hops = [possible(prompt[1:])[0] - prompt[0] for prompt in (row, twin)]
            assert (min(hops) == -1) == (none in answers)  # one hop is missing, or none
            sizes[row[0]] += 1
            places[edited] += 1
    assert set(sizes) == set(range(max(one.least, 1), min(one.hops, (length - 2) // 2) + 1))
    assert len(places) > 20


@pytest.mark.parametrize("size", [500, 502])
def test_broad_has_as_many_of_each_answer_and_k_is_uniform(size):
    answers = np.bincount(sample(Khop(), size, 30, "broad").answer[:, 0], minlength=38)[A:]
    assert set(answers.tolist()) <= {size // 5, -(-size // 5)}
    k = np.bincount(sample(Khop(), 14_000, 26, "broad").prompt[:, 0])
    assert len(k) == 13
    assert abs(k - 14_000 / 13).max() < 5 * (14_000 / 13) ** 0.5


def test_broad_spreads_the_hops_that_are_possible_evenly_below_k_and_from_k_on():
    drawn, length = sample(Khop(hops=3, least=3), 6000, 29, "broad"), 29
    counts = {lost: Counter() for lost in (True, False)}
    for row, answer in zip(drawn.prompt.tolist(), drawn.answer[:, 0], strict=True):
        counts[bool(answer == NONE)][possible(row[1:])[0]] += 1
    assert set(counts[True]) == {0, 1, 2}
    assert set(counts[False]) == set(range(3, 2 * (length - 2) // 3 + 1))
    for count in counts.values():
        expected = count.total() / len(count)
        assert all(abs(times - expected) < 5 * expected**0.5 for times in count.values())


def test_a_chosen_number_of_hops_leaves_the_text_uniform():
    task, shown = Khop(), Counter()
    hops = np.random.default_rng(1).random((80_000, 4)) < 1 / 3  # as a uniform text has them
    for text in task._text(np.random.default_rng(2), hops).tolist():
        shown[tuple(text)] += 1
    assert len(shown) == 4 * 3**5
    nats = -sum(times / 80_000 * log(times / 80_000) for times in shown.values())
    assert abs(nats + (len(shown) - 1) / 160_000 - log(len(shown))) < 0.001
    for text, chosen in zip(
        task._text(np.random.default_rng(3), hops[:200]).tolist(), hops[:200].sum(axis=1), strict=True
    ):
        assert possible(text)[0] == chosen


@pytest.mark.parametrize("split", SPLITS)
def test_natural_takes_k_from_all_and_others_from_what_the_length_allows(split):
    k = sample(Khop(least=2), 3000, 20, split).prompt[:, 0]
    assert set(k.tolist()) == set(range(2, 17 if split == "natural" else 10))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hops": 0}, "task.hops=0: 1 to 128 are possible"),
        ({"hops": 129}, "task.hops=129: 1 to 128"),
        ({"least": 17}, "task.least=17: 0 to task.hops=16 are possible"),
        ({"least": -1}, "task.least=-1: 0 to"),
        ({"characters": 3}, "task.characters=3: 4 to 26 are possible"),
        ({"characters": 27}, "task.characters=27: 4 to 26"),
        ({"asked": "first"}, "task.asked=first: every and last exist"),
    ],
)
def test_what_is_not_possible_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence.replace(".", r"\.")):
        Khop(**settings)


def test_a_text_without_room_for_the_smallest_k_is_refused():
    assert Khop(characters=12).shortest == 24
    with pytest.raises(ValueError, match="length=21: 22 to 1024 are possible"):
        sample(Khop(least=10), 1, 21, "natural")
