"""Every task keeps every law, every law catches a broken task, and what tasks promise beyond the laws."""

import doctest
import random
from collections import Counter
from dataclasses import dataclass, replace
from inspect import signature
from itertools import permutations, product
from math import log
from time import perf_counter

import numpy as np
import pytest
from scipy.stats import chisquare

from tasks import check, shortcuts, verdict
from tasks.base import SPLITS, Instance, Task
from tasks.check import LAWS, SHORTCUTS, check_law, check_task, default_lengths, shortcut_scores
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


class MoreToSayOfLongPrompts(SaidInside):
    breaks = {"answers_have_their_places"}

    def times(self, length):
        return 1 + (length > 4)

    def places(self, size, length):
        return np.tile(np.arange(length)[-self.times(length) :], (size, 1))


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


@pytest.mark.parametrize("module", [check, shortcuts, verdict])
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


def after(state, value, alpha):
    """The one-pass automaton: (min, max) so far, None once two values were too far apart."""
    if state is None:
        return None
    low, high = min(state[0], value), max(state[1], value)
    return (low, high) if high - low < alpha else None


def minimal_states(alpha, values):
    """Moore: states are told apart by acceptance, then by where each value leads, until nothing new is told apart."""
    empty = (values, -1)
    states, reached = [], [empty]
    while reached:
        states.append(reached.pop())
        new = {after(states[-1], value, alpha) for value in range(values)} - {*states, *reached}
        reached.extend(new)
    block, blocks = {state: state is None for state in states}, 0
    while blocks < len(set(block.values())):
        blocks = len(set(block.values()))
        told = {s: (block[s], *(block[after(s, value, alpha)] for value in range(values))) for s in states}
        number = {signature: i for i, signature in enumerate(set(told.values()))}
        block = {state: number[told[state]] for state in states}
    return blocks


def residuals(alpha, values):
    """Prompts of up to 3 values, the empty one included, that some future of up to 2 values tells apart."""
    words = [word for length in range(4) for word in product(range(values), repeat=length)]
    low, high = (np.array([pick(word, default=none) for word in words]) for pick, none in ((min, values), (max, -1)))
    futures = [i for i, word in enumerate(words) if len(word) <= 2]
    spread = np.maximum(high[:, None], high[futures]) - np.minimum(low[:, None], low[futures])
    return len(np.unique(spread < alpha, axis=0))


@pytest.mark.parametrize(("values", "alpha"), [(v, a) for v in range(3, 10) for a in range(2, v)])
def test_pairwise_classes_are_the_minimal_states(values, alpha):
    assert Pairwise(alpha, values).classes() == minimal_states(alpha, values) == residuals(alpha, values)


@pytest.mark.parametrize(("values", "alpha", "classes"), [(16, 5, 52), (8, 3, 17), (6, 2, 11)])
def test_pairwise_classes_in_the_literature(values, alpha, classes):
    assert Pairwise(alpha, values).classes() == minimal_states(alpha, values) == classes


@pytest.mark.parametrize(("alpha", "values"), [(24, 64), (2, 3), (5, 16), (63, 64)])
@pytest.mark.parametrize("length", [2, 3, 17])
def test_pairwise_twins_are_one_step_of_one_extreme_value_apart(alpha, values, length):
    prompt = Pairwise(alpha, values).sample(np.random.default_rng(1), 500, length, "boundary").prompt
    closer, apart = prompt[::2], prompt[1::2]
    assert (np.ptp(closer, axis=1) == alpha - 1).all()
    distance = np.abs(apart[:, :, None] - apart[:, None])[:, *np.triu_indices(length, k=1)]
    assert (distance.max(axis=1) == alpha).all()
    assert ((distance >= alpha).sum(axis=1) == 1).all()
    edit = apart - closer
    assert (np.abs(edit).sum(axis=1) == 1).all()
    raised, lowered = (edit == 1).any(axis=1), (edit == -1).any(axis=1)
    assert (apart.max(axis=1)[raised] == apart[edit == 1]).all()
    assert (apart.min(axis=1)[lowered] == apart[edit == -1]).all()
    assert 0.4 < raised.mean() < 0.6


@pytest.mark.parametrize("length", [2, 9, 64])
def test_pairwise_broad_spreads_evenly(length):
    task = Pairwise()
    spread = np.ptp(task.sample(np.random.default_rng(2), 40_000, length, "broad").prompt, axis=1)
    counts = np.bincount(spread, minlength=task.values)
    assert chisquare(counts[: task.alpha]).pvalue > 1e-3
    assert chisquare(counts[task.alpha :]).pvalue > 1e-3


@pytest.mark.parametrize("length", [8, 16, 32, 64])
def test_pairwise_extremes_alone_say_nearly_nothing(length):
    scores = shortcut_scores(Pairwise(), length)
    assert abs(scores["minimum"] - 0.5) < 0.04
    assert abs(scores["maximum"] - 0.5) < 0.04


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"alpha": 64}, "task.alpha=64: 2 to 63"),
        ({"alpha": 1}, "task.alpha=1: 2 to 63"),
        ({"alpha": -3}, "task.alpha=-3: 2 to 63"),
        ({"values": 24}, "task.alpha=24: 2 to 23"),
        ({"values": 2}, "task.values=2: at least 3"),
    ],
)
def test_pairwise_refuses_settings_without_twins(settings, named):
    with pytest.raises(ValueError, match=named):
        Pairwise(**settings)


@pytest.mark.parametrize("ours", [Pairwise, Parity, Recall])
def test_an_unknown_split_is_refused(ours):
    with pytest.raises(ValueError, match="split=bounday"):
        ours().sample(np.random.default_rng(4), 2, 16, "bounday")


@pytest.mark.parametrize("ours", [Pairwise, Parity, Recall])
@pytest.mark.parametrize("split", SPLITS)
def test_ten_thousand_instances_are_made_in_a_second(ours, split):
    rng, took = np.random.default_rng(3), []
    for _ in range(3):
        start = perf_counter()
        ours().sample(rng, 1000, 32, split)
        took.append(perf_counter() - start)
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


def test_parity_so_far_is_the_answer_to_every_prefix():
    task, prompt = Parity(), Parity().prompts(7)
    for place in range(7):
        assert (task.so_far(prompt)[:, place] == task.solve(prompt[:, : place + 1])[:, 0]).all()


def test_parity_twins_differ_in_one_bit_at_any_place():
    prompt = Parity().sample(np.random.default_rng(6), 8001, 9, "boundary").prompt
    edit = prompt[:-1:2] ^ prompt[1::2]
    assert (edit.sum(axis=1) == 1).all()
    assert chisquare(edit.sum(axis=0)).pvalue > 1e-3


@pytest.mark.parametrize(
    "recall",
    [
        Recall(pairs=1, symbols=4),
        Recall(pairs=1, symbols=9, random_non_queries=True),
        Recall(pairs=2, symbols=16, power=1.0, random_non_queries=True),
        Recall(pairs=4, symbols=10),
        Recall(pairs=8, symbols=1024, power=0.5),
    ],
    ids=str,
)
def test_recall_keeps_the_laws_at_other_settings(recall):
    failed = [verdict for verdict in check_task(recall, [recall.shortest, recall.shortest + 1]) if not verdict.passed]
    assert failed == []


def test_recall_keeps_the_laws_among_random_tokens():
    class Noisy(Recall):
        __module__ = Recall.__module__

        @classmethod
        def tiny(cls):
            return cls(pairs=1, symbols=6, random_non_queries=True), 6

    assert len(Noisy.tiny()[0].prompts(6)) == 2 * 3 * 2 * 5**3
    assert [verdict for verdict in check_task(Noisy(), [16]) if not verdict.passed] == []


@pytest.mark.parametrize(("length", "pairs"), [(64, 4), (128, 8), (256, 16), (512, 64)])
@pytest.mark.parametrize("random_non_queries", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_recall_asks_every_key_once_at_an_even_offset(length, pairs, random_non_queries, split):
    task = Recall(pairs, random_non_queries=random_non_queries)
    instance = task.sample(np.random.default_rng(7), 33, length, split)
    assert instance.prompt.shape == (33, length)
    assert instance.answer.shape == instance.at.shape == (33, pairs)
    assert (instance.at % 2 == 0).all()
    for row, answer, at in zip(instance.prompt, instance.answer, instance.at, strict=True):
        keys, values, rest = row[: 2 * pairs : 2], row[1 : 2 * pairs : 2], row[2 * pairs :]
        assert ((keys > 0) & (keys < 4096)).all()
        assert ((values >= 4096) & (values < 8192)).all()
        assert len(set(keys)) == len(set(values)) == pairs
        assert sorted(row[at]) == sorted(keys) == sorted(rest[np.isin(rest, keys)])
        assert [values[keys == key].item() for key in row[at]] == answer.tolist()
        assert random_non_queries or np.count_nonzero(rest) == pairs


def test_recall_twins_differ_in_one_value_of_any_pair():
    instance = Recall(3, 50).sample(np.random.default_rng(8), 6000, 14, "boundary")
    edit = instance.prompt[::2] != instance.prompt[1::2]
    assert (edit.sum(axis=1) == 1).all()
    assert chisquare(edit.sum(axis=0)[1:6:2]).pvalue > 1e-3
    assert ((instance.answer[::2] != instance.answer[1::2]).sum(axis=1) == 1).all()
    assert (instance.at[::2] == instance.at[1::2]).all()


def successive(weights, count):
    """The probability of every ordered choice when ``count`` indices are drawn one after another, by weight."""
    likely = {}
    for order in permutations(range(len(weights)), count):
        left = [sum(weights) - sum(weights[i] for i in order[:k]) for k in range(count)]
        likely[order] = np.prod([weights[i] / rest for i, rest in zip(order, left, strict=True)])
    return likely


@pytest.mark.parametrize("power", [0.01, 1.0, 2.5])
def test_recall_draws_slots_one_after_another_by_a_power_law(power):
    task, likely = Recall(pairs=3, symbols=12, power=power), successive([i ** (power - 1) for i in range(1, 6)], 3)
    prompt = task.sample(np.random.default_rng(9), 30_000, 16, "broad").prompt.tolist()
    slots = Counter(tuple(row[6::2].index(key) for key in row[:6:2]) for row in prompt)
    assert chisquare([slots[order] for order in likely], [30_000 * p for p in likely.values()]).pvalue > 1e-3
    keys_and_values = log(5 * 4 * 3) + log(6 * 5 * 4)
    assert task.entropy(16) == pytest.approx(keys_and_values - sum(p * log(p) for p in likely.values()))


@pytest.mark.parametrize("symbols", [8, 24])  # the whole range is permuted, repetitions are drawn again
def test_recall_draws_ordered_keys_uniformly(symbols):
    prompt = Recall(pairs=2, symbols=symbols).sample(np.random.default_rng(10), 50_000, 8, "natural").prompt
    times = Counter(map(tuple, prompt[:, :3:2].tolist()))
    assert len(times) == (symbols // 2 - 1) * (symbols // 2 - 2)
    assert chisquare(list(times.values())).pvalue > 1e-3


def test_recall_knows_no_entropy_where_there_are_too_many_sets_of_slots():
    assert Recall().entropy(64) > Recall().entropy(16)
    assert Recall(16).entropy(256) is None
    noise = Recall(random_non_queries=True).entropy(64) - Recall().entropy(64)
    assert noise == pytest.approx(52 * log(8188))


def test_recall_makes_a_batch_in_a_millisecond():
    task, rng, took = Recall(), np.random.default_rng(11), []
    for _ in range(20):
        start = perf_counter()
        task.sample(rng, 64, 64, "boundary")
        took.append(perf_counter() - start)
    assert min(took) < 1e-3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"pairs": 0}, "task.pairs=0: 1 to 256"),
        ({"pairs": 257}, "task.pairs=257: 1 to 256"),
        ({"symbols": 9}, "task.symbols=9: at least 10 are needed with task.pairs=4"),
        ({"power": 0.0}, "task.power=0.0: above 0"),
        ({"power": float("nan")}, "task.power=nan: above 0"),
    ],
)
def test_recall_refuses_impossible_settings(settings, named):
    with pytest.raises(ValueError, match=named):
        Recall(**settings)


@pytest.mark.parametrize("length", [15, 1025])
def test_recall_refuses_other_lengths(length):
    with pytest.raises(ValueError, match=f"length={length}: 16 to 1024 are possible"):
        Recall().sample(np.random.default_rng(12), 2, length, "broad")
