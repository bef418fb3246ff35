"""Every task keeps every law, and every law catches a broken task."""

import doctest
import random
from dataclasses import dataclass, replace
from inspect import signature
from itertools import product
from math import log
from time import process_time

import numpy as np
import pytest

from tasks import alignment, check, numbers, pairs, shortcuts, verdict
from tasks.base import SPLITS, Instance, Task
from tasks.check import LAWS, SHORTCUTS, check_law, check_task, default_lengths, shortcut_scores
from tasks.match2 import Match2
from tasks.orthogonal_vectors import OrthogonalVectors
from tasks.pairwise import Pairwise
from tasks.parity import Parity
from tasks.recall import Recall


@pytest.mark.parametrize("law", LAWS)
def test_law(task, law):
    verdict = check_law(law, task)
    assert verdict.passed, verdict.detail


@pytest.mark.parametrize("law", [name for name, law in LAWS.items() if "length" in signature(law).parameters])
def test_law_of_a_variation(variation, law):
    verdict = check_law(law, variation)
    assert verdict.passed, verdict.detail


class Specimen(Pairwise):
    """Pairwise with one thing broken. ``breaks``: exactly the laws that fail, but the digest may change with any."""

    breaks = frozenset()

    def __init_subclass__(cls):
        cls.__module__ = Pairwise.__module__  # whose docstring example is then found

    def so_far(self, prompt):  # a specimen says less than Pairwise, so that it breaks no more than it means to
        return None

    def entropy(self, length):
        return None


class Unbroken(Specimen):
    pass


class OwnEntropy(Specimen):
    breaks = {"same_stream_same_instance"}

    def sample(self, rng, size, length, split):
        return super().sample(np.random.default_rng(), size, length, split)


class IgnoresRng(Specimen):
    breaks = {"other_stream_other_instance"}

    def sample(self, rng, size, length, split):
        return super().sample(np.random.default_rng(0) if split == "natural" else rng, size, length, split)


class NumpysGlobalRandom(Specimen):
    breaks = {"global_randomness_untouched"}

    def sample(self, rng, size, length, split):
        np.random.random()  # noqa: NPY002 - the very thing
        return super().sample(rng, size, length, split)


class PythonsGlobalRandom(Specimen):
    breaks = {"global_randomness_untouched"}

    def solve(self, prompt):
        random.random()
        return super().solve(prompt)


class Int32Tokens(Specimen):
    breaks = {"tokens_lie_in_the_vocabulary"}

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        return replace(instance, answer=instance.answer.astype(np.int32))


class VocabularyWithoutYes(Specimen):
    breaks = {"tokens_lie_in_the_vocabulary", "traces_lead_to_the_answer", "every_tiny_prompt_is_right"}
    vocab = property(lambda self: self.values + 1)


class LongerWhenNatural(Specimen):
    breaks = {"shapes_depend_on_length_alone", "traces_lead_to_the_answer", "every_tiny_prompt_is_right"}

    def sample(self, rng, size, length, split):
        return super().sample(rng, size, length + (split == "natural"), split)


class EvenSizesOnly(Specimen):
    breaks = {"shapes_depend_on_length_alone"}

    def sample(self, rng, size, length, split):
        return super().sample(rng, size + size % 2, length, split)


class FlatAnswer(Specimen):
    breaks = {
        "shapes_depend_on_length_alone",
        "solve_finds_the_answer",
        "traces_lead_to_the_answer",
        "answers_are_balanced",
        "no_shortcut_tells_twins_apart",
        "every_tiny_prompt_is_right",
    }

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        return replace(instance, answer=instance.answer[:, 0])


class WrongAnswer(Specimen):
    breaks = {"solve_finds_the_answer", "traces_lead_to_the_answer", "every_tiny_prompt_is_right"}

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        return replace(instance, answer=self._verdict(np.ones(size))) if split == "natural" else instance


class SaysItTwice(Specimen):
    breaks = {"solve_finds_the_answer", "every_tiny_prompt_is_right"}

    def solve(self, prompt):
        return np.repeat(super().solve(prompt), 2, axis=1)


class WritesIntoThePrompt(Specimen):
    breaks = {
        "global_randomness_untouched",
        "tokens_lie_in_the_vocabulary",
        "solve_finds_the_answer",
        "twins_differ_by_the_smallest_edit",
    }

    def solve(self, prompt):
        prompt.sort(axis=1)
        return super().solve(prompt)


class SaidInside(Specimen):
    """Unbroken: the answer is said at the last prompt token, ``times`` times."""

    def times(self, length):
        return 1

    def places(self, size, length):
        return np.full((size, self.times(length)), length - 1)

    def solve(self, prompt):
        return np.repeat(super().solve(prompt), self.times(prompt.shape[1]), axis=1)

    def sample(self, rng, size, length, split):
        prompt = super().sample(rng, size, length, split).prompt
        return Instance(prompt, self.solve(prompt), self.places(size, length))


class SaidInsideUnlessNatural(SaidInside):
    breaks = {"answers_have_their_places"}

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        return replace(instance, at=None) if split == "natural" else instance


class FlatPlaces(SaidInside):
    breaks = {"answers_have_their_places", "answers_are_settled_where_they_are_said"}

    def places(self, size, length):
        return np.full(size, length - 1)


class Int32Places(SaidInside):
    breaks = {"answers_have_their_places"}

    def places(self, size, length):
        return super().places(size, length).astype(np.int32)


class PlacesBehindThePrompt(SaidInside):
    breaks = {"answers_have_their_places"}

    def places(self, size, length):
        return super().places(size, length) + 1


class TwoAnswersInOnePlace(SaidInside):
    breaks = {"answers_have_their_places"}

    def times(self, length):
        return 2


class SaidTooSoon(SaidInside):
    breaks = {"answers_are_settled_where_they_are_said"}

    def places(self, size, length):
        return super().places(size, length) - 1


class OtherPlacesEachTime(SaidInside):
    breaks = {"same_stream_same_instance", "answers_are_settled_where_they_are_said"}

    def places(self, size, length):
        return np.random.default_rng().integers(0, length, (size, 1))


class SoFar(Specimen):
    """Unbroken: are the values up to each place close?"""

    def so_far(self, prompt):
        running = np.maximum.accumulate(prompt, axis=1) - np.minimum.accumulate(prompt, axis=1)
        return self.values + (running < self.alpha)


class SoFarStartsEarly(SoFar):
    breaks = {"so_far_ends_with_the_answer", "so_far_knows_the_past_alone"}

    def so_far(self, prompt):
        so_far = super().so_far(prompt)
        return np.column_stack([np.full(len(prompt), -1), so_far])


class SoFarInt32(SoFar):
    breaks = {"so_far_ends_with_the_answer"}

    def so_far(self, prompt):
        return super().so_far(prompt).astype(np.int32)


class SoFarBeginsWith(SoFar):
    token = -1  # unbroken: no answer yet

    def so_far(self, prompt):
        so_far = super().so_far(prompt)
        so_far[:, 0] = self.token
        return so_far


class SoFarBeginsTooLow(SoFarBeginsWith):
    breaks = {"so_far_ends_with_the_answer"}
    token = -2


class SoFarBeginsTooHigh(SoFarBeginsWith):
    breaks = {"so_far_ends_with_the_answer"}
    token = 66


class SoFarNeverAnswers(SoFar):
    breaks = {"so_far_ends_with_the_answer"}

    def so_far(self, prompt):
        return np.full_like(prompt, -1)


class SoFarIsTheAnswer(SoFar):
    breaks = {"so_far_knows_the_past_alone"}

    def so_far(self, prompt):
        return np.repeat(super().so_far(prompt)[:, -1:], prompt.shape[1], axis=1)


class SoFarIsTheAnswerOfLongPrompts(SoFarIsTheAnswer):
    def so_far(self, prompt):
        return super().so_far(prompt) if prompt.shape[1] > 4 else SoFar.so_far(self, prompt)


class SoFarIsTheAnswerOfShortPrompts(SoFarIsTheAnswer):
    def so_far(self, prompt):
        return super().so_far(prompt) if prompt.shape[1] <= 4 else SoFar.so_far(self, prompt)


class EntropyOfNatural(Specimen):
    breaks = {"entropy_is_that_of_the_draws"}

    def entropy(self, length):
        return length * log(self.values)


class NegativeEntropy(Specimen):
    breaks = {"entropy_is_that_of_the_draws", "entropy_grows_with_length"}

    def entropy(self, length):
        return -1.0


class EntropyIsNoNumber(NegativeEntropy):
    def entropy(self, length):
        return float("nan")


class MoreEntropyThanTokens(NegativeEntropy):
    def entropy(self, length):
        return 1000.0


class ShrinkingEntropy(Specimen):
    breaks = {"entropy_grows_with_length"}

    def entropy(self, length):
        return 50 / length if length > 4 else None


class NoEdit(Specimen):
    breaks = {"twins_differ_by_the_smallest_edit"}

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        if split == "boundary":
            twice = np.arange(size) // 2
            instance = Instance(instance.prompt[twice], instance.answer[twice])
        return instance


class TwoEdits(Specimen):
    breaks = {"twins_differ_by_the_smallest_edit"}

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        if split == "boundary":
            instance.prompt[1::2] = np.roll(instance.prompt[1::2], 1, axis=1)
        return instance


class SameAnswer(NoEdit):
    breaks = {"twins_differ_by_the_smallest_edit"}
    twin_tokens = Pairwise.longest

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        if split == "boundary":
            instance.prompt[1::2] = self.values - 1 - instance.prompt[1::2]
        return instance


class WrongNext(Specimen):
    breaks = {"traces_lead_to_the_answer", "every_tiny_prompt_is_right"}

    @property
    def traces(self):
        trace = super().traces["running_extremes"]
        return {"forgetful": replace(trace, next=lambda prompt, done: trace.next(prompt, np.maximum(done, 1)))}


class WrongCount(Specimen):
    breaks = {"traces_lead_to_the_answer", "every_tiny_prompt_is_right"}

    @property
    def traces(self):
        return {"uncounted": replace(super().traces["pairs"], count=lambda length: length**2)}


class WrongRead(Specimen):
    breaks = {"traces_lead_to_the_answer", "every_tiny_prompt_is_right"}

    @property
    def traces(self):
        return {"naysayer": replace(super().traces["pairs"], read=lambda steps: self._verdict(np.zeros(len(steps))))}


class UnbalancedBroad(Specimen):
    breaks = {"answers_are_balanced"}

    def sample(self, rng, size, length, split):
        return super().sample(rng, size, length, "natural" if split == "broad" else split)


class OverstatedChance(Specimen):
    breaks = {"answers_are_balanced"}

    def chance(self, length):
        return 0.9


class LeakyMinimum(Specimen):
    breaks = {"no_shortcut_tells_twins_apart"}

    def sample(self, rng, size, length, split):
        instance = super().sample(rng, size, length, split)
        if split == "boundary":  # every twin starts at zero: a minimum of 1 is a yes
            twins = instance.prompt[: size // 2 * 2].reshape(-1, 2 * length)
            twins -= twins.min(axis=1, keepdims=True)
        return instance


class MisspeltShortcut(Specimen):
    breaks = {"no_shortcut_tells_twins_apart"}
    shortcuts = ("minimun",)


class ForgetsAPrompt(Specimen):
    breaks = {"every_tiny_prompt_is_right"}

    def prompts(self, length):
        return super().prompts(length)[1:]


class ListsAPromptTwice(Specimen):
    breaks = {"every_tiny_prompt_is_right"}

    def prompts(self, length):
        return np.concatenate([super().prompts(length), super().prompts(length)[:1]])


class WrongOnRarePrompts(Specimen):
    breaks = {"every_tiny_prompt_is_right"}

    def solve(self, prompt):
        return super().solve(prompt) ^ (prompt.sum(axis=1, keepdims=True) == 1)  # a yes becomes a no


class NoExample(Specimen):
    breaks = {"docstring_example_runs"}


NoExample.__module__ = __name__  # which has none


class WrongExample(Specimen):
    """
    >>> 1 + 1
    3
    """

    breaks = {"docstring_example_runs"}


class StaleDigest(Specimen):
    breaks = {"golden_digest_stands"}
    golden = {1: "0123456789abcdef"}


class RaisedVersion(Specimen):
    breaks = {"golden_digest_stands"}
    version = 2


SPECIMENS = [value for value in globals().values() if isinstance(value, type) and Specimen in value.__mro__[1:]]


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_the_laws_catch(specimen):
    failed = {verdict.law: verdict.detail for verdict in check_task(specimen(), lengths=[8]) if not verdict.passed}
    assert specimen.breaks <= set(failed) <= specimen.breaks | {"golden_digest_stands"}, failed
    assert all(failed.values()), "a failed verdict says why"


@pytest.mark.parametrize("law", LAWS)
def test_every_law_has_a_specimen(law):
    assert any(law in specimen.breaks for specimen in SPECIMENS), f"write a task that breaks {law}, see Specimen"


@dataclass(frozen=True)
class Reversal(Task):
    """A stranger's task: settings without defaults, long answers, no trace, ``positions`` as a legitimate shortcut.

    >>> Reversal(2).solve(np.array([[0, 1, 1]])).tolist()
    [[1, 1, 0]]
    """

    symbols: int
    version, golden, theory, shortcuts, shortest, longest, twin_tokens = 1, {}, None, ("positions",), 1, 20, 1
    vocab = property(lambda self: self.symbols)
    traces = {}

    def sample(self, rng, size, length, split):
        prompt = rng.integers(0, self.symbols, (size, length))
        if split == "boundary":
            prompt[1::2] = prompt[: size // 2 * 2 : 2]
            prompt[1::2, rng.integers(length)] ^= 1
        return Instance(prompt, self.solve(prompt))

    def solve(self, prompt):
        return prompt[:, ::-1].copy()

    def chance(self, length):
        return self.symbols**-length

    def prompts(self, length):
        return np.array(list(product(range(self.symbols), repeat=length)))

    @classmethod
    def tiny(cls):
        return cls(2), 4


@pytest.mark.parametrize("module", [alignment, check, numbers, pairs, shortcuts, verdict])
def test_the_example_runs(module):
    failed, tried = doctest.testmod(module)
    assert not failed
    assert tried


def test_a_strangers_task_is_checked():
    assert default_lengths(Reversal(2)) == [1, 3, 7, 16]
    failed = {verdict.law: verdict.detail for verdict in check_task(Reversal(2), [7, 16]) if not verdict.passed}
    assert list(failed) == ["golden_digest_stands"]
    assert "missing 1 required positional argument: 'symbols'" in failed["golden_digest_stands"]
    leak = check_law("no_shortcut_tells_twins_apart", type("Undeclared", (Reversal,), {"shortcuts": ()})(2), [7])
    assert "length 7: the shortcut positions is right on 1.000" in leak.detail


# Numbers (B, P) -> (B,) that one rule sees better than all others; the answer is whether the number is large.
PLANTS = {
    "first_token": lambda prompt: prompt[:, 0] % 2,
    "last_token": lambda prompt: prompt[:, -1] % 2,
    "minimum": lambda prompt: prompt.min(axis=1) % 2,
    "maximum": lambda prompt: prompt.max(axis=1) % 2,
    "total": lambda prompt: prompt.sum(axis=1) % 2,
    "distinct_tokens": lambda prompt: np.array([len(set(row)) % 2 for row in prompt]),
    "extreme_ties": lambda prompt: np.array([sum(x in (min(row), max(row)) for x in row) > 2 for row in prompt]),
    "bag_of_tokens": lambda prompt: (prompt % 2).sum(axis=1),
    "positions": lambda prompt: prompt @ (-1) ** np.arange(prompt.shape[1]),
}


@pytest.mark.parametrize("rule", SHORTCUTS)
def test_a_shortcut_finds_what_it_looks_for(rule):
    class Planted(Pairwise):
        def sample(self, rng, size, length, split):
            prompt = rng.integers(0, self.values, (size, length))
            seen = PLANTS[rule](prompt)
            return Instance(prompt, self._verdict(seen > seen.mean()))

    scores = shortcut_scores(Planted(), length=9)
    assert max(scores, key=scores.get) == rule
    assert scores[rule] > 0.9


def test_an_unknown_split_is_refused(task):
    with pytest.raises(ValueError, match="split=bounday"):
        task.sample(np.random.default_rng(4), 2, task.shortest, "bounday")


@pytest.mark.parametrize("ours", [Pairwise, OrthogonalVectors, Match2, Parity, Recall])
@pytest.mark.parametrize("split", SPLITS)
def test_ten_thousand_instances_are_made_in_a_second_of_a_core(ours, split):
    rng, took = np.random.default_rng(3), []
    for _ in range(3):
        start = process_time()
        ours().sample(rng, 1000, 32, split)
        took.append(process_time() - start)
    assert min(took) < 0.1


def test_where_few_prompts_exist_a_shortcut_may_tell_them_apart():
    scores = shortcut_scores(Parity(), 3)
    assert scores["minimum"] > 0.6
    assert check_law("no_shortcut_tells_twins_apart", Parity(), [3]).passed
    careless = type("Careless", (Parity,), {"shortcuts": ()})()
    assert "length 7: the shortcut total" in check_law("no_shortcut_tells_twins_apart", careless, [3, 7]).detail


def test_a_bag_counts_common_tokens_one_by_one_and_rare_ones_together():
    prompt = np.random.default_rng(5).integers(0, 5000, (100, 30))
    prompt[:, ::3] = 77
    bag = SHORTCUTS["bag_of_tokens"](prompt)
    assert bag.shape == (100, shortcuts.COMMON + 1)
    assert (bag.sum(axis=1) == 30).all()
    assert (bag[:, 0] == (prompt == 77).sum(axis=1)).all()
    assert SHORTCUTS["bag_of_tokens"](prompt % 7)[:, :7].sum() == 3000


def test_entropy_is_measured_on_broad_as_well_as_on_boundary():
    class SortedBroad(Parity):
        def sample(self, rng, size, length, split):
            prompt = super().sample(rng, size, length, split).prompt
            prompt = np.sort(prompt, axis=1) if split == "broad" else prompt
            return Instance(prompt, self.solve(prompt))

    verdict = check_law("entropy_is_that_of_the_draws", SortedBroad())
    assert verdict.detail.startswith("broad of length 2 shows 1.0")  # 1.040: 00, 01 and 11 with chances 1/4, 1/2, 1/4
    assert verdict.detail.endswith("1.3863 are stated")
