"""The state squeeze: a fixed code, what it keeps and what it cannot, and rows that no average takes in unasked."""

from dataclasses import asdict, replace
from itertools import groupby, product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import tasks
from harness import attention, config, experiment, rows, squeeze, store
from harness.draw import Source
from harness.evaluate import AS_TRAINED, Question, Stop, answer, code_of, evaluate
from harness.model import GPT, build
from harness.model.positions import Nowhere
from harness.nearest import Refusal
from harness.report import compare, figures, summary
from harness.report.select import at_trained_steps, complete, scored, unsqueezed
from harness.scratchpad import Scratchpad
from harness.sequence import encode, vocabulary
from harness.settings import Experiment
from harness.squeeze import WHOLE, Code, carried, middle, numbers, rounded
from tasks.base import SPLITS, Instance
from tasks.pairwise import Pairwise

NONE = Scratchpad("none", "trace", None, 0.0, 0.0)
TINY = ["model.width=16", "model.heads=2", "model.token_std=1", "train.lengths=[4,6]"]
TINY += ["evaluate.lengths=[5,6]", "evaluate.examples=40", "train.updates=2", "train.batch=4", "train.validate_every=2"]
TINY += ["train.validate_examples=4", "evaluate.splits=[boundary]"]
CAUSAL = [name for name in attention.names() if "causal" in attention.load(name).masks]


def point(*words):
    return config.points(["task=pairwise", *TINY, *words])[0]


def spread(model, seed=0, scale=0.6):
    """Weights of order one in place of the small ones at the start, so that answers hang on what was read."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=scale)
    return model


def tensors(states):
    return [part for layer in states for part in layer if isinstance(part, Tensor)]


# The code -------------------------------------------------------------------------------------------------------------


def drawn(seed, size=400):
    dice = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, 5, generator=dice) * torch.tensor([1e-3, 1.0, 1e3])[:, None]
    low, high = x[:100].amin(0, keepdim=True), x[:100].amax(0, keepdim=True)
    return x, low, high


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 16, 22, 31])
def test_rounding_twice_is_rounding_once(bits):
    x, low, high = drawn(bits)
    once = rounded(x, low, high, bits)
    assert torch.equal(rounded(once, low, high, bits), once)
    assert once.dtype == x.dtype


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_a_number_has_at_most_2_to_the_b_values_all_in_its_range(bits):
    x, low, high = drawn(bits, size=3000)
    told = rounded(x, low, high, bits)
    counts = [len(told[:, i, j].unique()) for i, j in product(range(3), range(5))]
    assert max(counts) <= 2**bits
    assert (told >= low).all()
    assert (told <= high).all()
    if bits <= 3:
        assert min(counts) == 2**bits, "with so many items every level is used"


@pytest.mark.parametrize("bits", [1, 4, 9])
def test_a_number_in_range_moves_by_half_a_level_at_most_and_no_level_is_nearer(bits):
    x, low, high = drawn(bits)
    inside = x.clamp(low, high)
    x, low, high = inside[:50].double(), low.double(), high.double()
    levels = low + (high - low) * torch.arange(2**bits).view(-1, 1, 1, 1) / (2**bits - 1)  # (2^b, 1, 3, 5)
    nearest = (x - levels).abs().amin(0)
    moved = (rounded(x, low, high, bits) - x).abs()
    torch.testing.assert_close(moved, nearest, atol=1e-6, rtol=1e-6)
    assert (moved <= (high - low) / (2**bits - 1) / 2 * 1.0001).all()


def test_the_ends_of_a_range_are_levels_and_what_lies_beyond_is_clipped():
    x, low, high = drawn(0)
    for bits in (1, 4, 24, 31):
        assert torch.equal(rounded(low, low, high, bits), low)
        assert torch.equal(rounded(high, low, high, bits), high)
        assert torch.equal(rounded(x.clamp(high + 1, None), low, high, bits), high.expand_as(x))
        assert torch.equal(rounded(x.clamp(None, low - 1), low, high, bits), low.expand_as(x))


def test_a_number_that_never_varies_is_told_in_no_bits():
    same = torch.full((1, 4), 2.5)
    assert torch.equal(rounded(torch.randn(9, 4), same, same, 3), same.expand(9, 4))
    assert torch.equal(rounded(same, same, same, 3), same)


def test_all_32_bits_leave_every_number_as_it_is():
    x, low, high = drawn(3)
    assert rounded(1e6 * x, low, high, WHOLE) is not None
    assert torch.equal(rounded(1e6 * x, low, high, WHOLE), 1e6 * x)


# The state at the cut -------------------------------------------------------------------------------------------------


def a_state(model, source, length=6, size=7, split="boundary"):
    batch = source.items(split, length, size)
    cut = middle(source.task, batch, length)
    return batch, carried(model, batch.prompt, cut, batch.given + batch.count())


def say(model, batch, states):
    return model.generate(batch.prompt, batch.count(), batch.forced(), state=states)[:, -batch.answer.shape[1] :]


@pytest.mark.parametrize(("name", "length"), [("pairwise", 7), ("pairwise", 6), ("parity", 5)])
def test_the_cut_is_after_half_of_the_items(name, length):
    task = tasks.load(name)()
    batch = Source(task, NONE, 0).items("broad", length, 2)
    assert middle(task, batch, length) == 1 + length // 2


def test_no_item_is_cut_in_two():
    task = Pairwise(alpha=24, values=64, dim=3, norm="linf", tokens="coordinate")
    batch = Source(task, NONE, 0).items("broad", 5, 2)
    assert batch.given == 1 + 5 * 3 + 1
    assert middle(task, batch, 5) == 1 + 2 * 3


@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_squeezed_is_the_whole_state_at_the_cut(name):
    run = point(f"attention={name}")
    model, source = build(run).eval(), Source.of(run)
    _, states = a_state(model, source)
    assert sum(part[0].numel() for part in tensors(states)) == numbers(model, 1 + 3)
    assert {layer.seen for layer in states} == {1 + 3}, "START and half of six items"
    code = Code.of(states, 3)
    told = code.rounded(states)
    assert code.cut == 4
    assert [layer.seen for layer in told] == [layer.seen for layer in states]
    for before, after in zip(tensors(states), tensors(told), strict=True):
        assert before.shape == after.shape


def agree(run, length=6, stop=AS_TRAINED, size=200):
    """Hold that all 32 bits give, token by token, what the model gives without a code."""
    model, source = spread(build(run)).eval(), Source.of(run)
    batch = source.items("boundary", length, size)
    plain = answer(model, batch, stop)
    code = code_of(model, source, Question("boundary", length, stop, WHOLE))
    told = answer(model, batch, stop, code)
    for name in ("written", "said", "scratch", "right_tokens", "first_error"):
        assert np.array_equal(getattr(plain, name), getattr(told, name)), name
    return plain


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("pad", ["none", "full"])
def test_32_bits_give_the_answers_of_the_state_as_it_is(name, pad):
    agree(point(f"attention={name}", f"scratchpad={pad}"))


@pytest.mark.parametrize(
    "word", ["scratchpad=filler", "position=randomized", "position=rotary", "position=alibi", "position=none"]
)
def test_so_they_do_at_every_position_and_with_filler(word):
    agree(point(word))


def test_so_they_do_wherever_a_scratchpad_ends():
    run = point("scratchpad=full")
    agree(run, stop=Stop(2))
    agree(run, stop=Stop(9, own=True))


def test_so_do_answers_of_several_tokens():
    run = config.points(["task=copying", *TINY])[0]
    plain = agree(run)
    assert plain.said.shape[1] > 1
    assert len(np.unique(plain.said)) > 1


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_an_item_is_told_for_itself(bits):
    run = point("attention=gru", "attention.state=6")
    model, source = spread(build(run)).eval(), Source.of(run)
    code = code_of(model, source, Question("boundary", 6, bits=bits))
    _, states = a_state(model, source)
    one = [layer._make(part[2:3] if isinstance(part, Tensor) else part for part in layer) for layer in states]
    for alone, among in zip(tensors(code.rounded(one)), tensors(code.rounded(states)), strict=True):
        assert torch.equal(alone[0], among[2])
    batch = source.items("boundary", 6, 40)
    whole = answer(model, batch, code=code).said
    assert np.array_equal(whole[10:13], answer(model, batch.rows(10, 13), code=code).said)


def test_the_ranges_are_those_of_validation_items_and_of_no_test_item():
    run = point("attention=gru")
    model, source = spread(build(run)).eval(), Source.of(run)
    code = code_of(model, source, Question("boundary", 6, bits=3))
    items = source.items("validation", 6, squeeze.ITEMS)
    with torch.no_grad():
        _, hidden = model(items.prompt[:, :4], model.empty(squeeze.ITEMS))[1][0]
    torch.testing.assert_close(code.low[0].hidden, hidden.amin(0, keepdim=True))
    torch.testing.assert_close(code.high[0].hidden, hidden.amax(0, keepdim=True))
    for split in SPLITS:
        assert torch.equal(code_of(model, source, Question(split, 6, bits=3)).low[0].hidden, code.low[0].hidden)
    other = code_of(model, source, Question("boundary", 4, bits=3))
    assert not torch.equal(other.low[0].hidden, code.low[0].hidden), "each length has its own"


# What fewer bits can and cannot say -----------------------------------------------------------------------------------


class Carried(NamedTuple):
    """The first item, as a number from 0 to 1, and three that nothing reads."""

    seen: int
    number: Tensor  # (B, 1)
    noise: Tensor  # (B, 3)


class First(torch.nn.Module):
    """A mixer that carries the first item from token to token."""

    def empty(self, batch, room=0):
        return Carried(0, torch.zeros(batch, 1), torch.zeros(batch, 3))

    def state_size(self, length):
        return 4


class Teller(torch.nn.Module):
    """Has the face of a GPT, says after ANSWER which of M values its mixer carries, and is exact with all its bits."""

    mask, generate, _next = "causal", GPT.generate, GPT._next

    def __init__(self, values, vocab):
        super().__init__()
        self.values, self.vocab, self.position = values, vocab, Nowhere(4, 4, 4)
        self.blocks = torch.nn.ModuleList([torch.nn.Module()])
        self.blocks[0].mixer = First()
        self.one = torch.nn.Parameter(torch.zeros(()))

    def empty(self, batch, room=0):
        return [self.blocks[0].mixer.empty(batch, room)]

    def forward(self, tokens, state, prefix=0, at=slice(None), places=None):
        (before,) = state
        number, until = before.number, before.seen + tokens.shape[1]
        if before.seen < 2 <= until:
            number = tokens[:, 1 - before.seen, None] / (self.values - 1)
        noise = torch.sin(tokens.sum(1, keepdim=True) * torch.tensor([[7.0, 8.0, 9.0]]))
        said = (number * (self.values - 1)).round().long().expand(-1, tokens.shape[1])[:, at]
        return torch.nn.functional.one_hot(said, self.vocab).float(), [Carried(until, number, noise)]

    def read(self, tokens, given, at):
        return self(tokens, self.empty(len(tokens)), at=at)[0]

    def stops(self, tokens, given, at):
        return torch.ones_like(tokens[:, at])


class Told(Pairwise):
    """Which was the first item? All are equally likely, on every split."""

    def sample(self, rng, size, length, split):
        prompt = rng.integers(self.values, size=(size, length))
        return Instance(prompt, prompt[:, :1])


@pytest.mark.parametrize(("values", "enough"), [(4, 2), (8, 3), (16, 4), (32, 5)])
def test_a_model_that_reads_one_number_needs_the_bits_of_that_number(values, enough):
    """b bits tell M = 2^b values; fewer tell 2^b of them, however many numbers beside it have as many bits."""
    task = Told(values=values, alpha=2)
    model, source = Teller(values, vocabulary(task)), Source(task, NONE, 0)
    asked = [Question("broad", 6, bits=bits) for bits in range(1, enough + 1)]
    rates = [score.accuracy for score in evaluate(model, source, asked, 1000)]
    assert rates[-1] == 1.0
    assert all(abs(rate - 2**bits / values) < 0.06 for bits, rate in enumerate(rates[:-1], start=1))


def test_fewer_states_than_classes_cannot_be_right_on_all_prompts():
    """Pigeonhole, over every prompt of a tiny size: the classes of their first halves are counted by brute force."""
    task, length = Pairwise.tiny()
    prompts = task.prompts(length)
    batch = encode(task, NONE, Instance(prompts, task.solve(prompts)), length)
    half = length // 2
    firsts, first = np.unique(prompts[:, :half], axis=0, return_inverse=True)
    rests, rest = np.unique(prompts[:, half:], axis=0, return_inverse=True)
    futures = np.empty((len(firsts), len(rests)), int)
    futures[first.ravel(), rest.ravel()] = batch.answer[:, 0]
    classes = len(np.unique(futures, axis=0))
    assert classes > 4
    run = replace(point("attention=gru", "attention.state=1", "model.layers=1"), task=task)
    for seed, bits in product(range(4), (1, 2)):
        model = spread(build(run), seed, 2.0).eval()
        states = carried(model, batch.prompt, 1 + half, batch.given + batch.count())
        told = Code.of(states, bits).rounded(states)
        kinds, kind = told[0].hidden.flatten(1).unique(dim=0, return_inverse=True)
        assert len(kinds) <= 2**bits < classes
        table, said = {}, say(model, batch, told)[:, 0]
        for pair, word in zip(zip(kind.tolist(), rest.ravel().tolist(), strict=True), said.tolist(), strict=True):
            assert table.setdefault(pair, word) == word, "an answer is a function of the state and of what follows"
        assert (said != batch.answer[:, 0]).any()


def test_a_model_that_is_not_trained_has_an_accuracy_in_one_bit():
    run = point("attention=linear")
    model, source = build(run).eval(), Source.of(run)
    (score,) = evaluate(model, source, [Question("boundary", 6, bits=1)], 300)
    assert 0 <= score.accuracy_low <= score.accuracy <= score.accuracy_high <= 1
    assert score.teacher_forced is None, "it is not measured"
    assert score.dense_accuracy is None


def test_a_dense_readout_is_not_measured_in_a_code():
    run = point("train.dense=true")
    model, source = build(run).eval(), Source.of(run)
    plain, told = evaluate(model, source, [Question("boundary", 6), Question("boundary", 6, bits=4)], 20)
    assert plain.dense_accuracy is not None
    assert told.dense_accuracy is None


# Where there is no state ----------------------------------------------------------------------------------------------

REFUSED = {
    "mask=encoder evaluate.state_bits=[4]": "mask=encoder reads no prompt from left to right",
    "mask=prefix evaluate.state_bits=[4]": "mask=prefix reads no prompt from left to right",
    "task=recall train.lengths=[16] evaluate.lengths=[16] evaluate.state_bits=[4]": "said inside the prompt",
    "evaluate.state_bits=[0]": "1 to 32 bits a number are possible",
    "evaluate.state_bits=[33]": "1 to 32 bits a number are possible",
    "evaluate.state_bits=[4,4]": "each number of bits once",
}


@pytest.mark.parametrize("line", REFUSED)
def test_it_is_refused_in_a_sentence(line):
    with pytest.raises(Refusal, match=REFUSED[line]):
        config.points(["task=pairwise", *TINY, *line.split()] if "recall" not in line else line.split())


def test_evaluation_itself_refuses_what_has_no_state():
    for mask in ("encoder", "prefix"):
        run = point(f"mask={mask}")
        with pytest.raises(ValueError, match=f"with mask={mask} no state"):
            list(evaluate(build(run), Source.of(run), [Question("boundary", 6, bits=4)], 10))
    run = config.points(["task=recall", "train.lengths=[16]", "evaluate.lengths=[16]"])[0]
    with pytest.raises(ValueError, match="inside the prompt"):
        list(evaluate(build(run), Source.of(run), [Question("boundary", 16, bits=4)], 10))


# Rows -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A run that was evaluated plainly, and then with three squeezes more."""
    root = tmp_path_factory.mktemp("results")
    words = ["attention=gru", "attention.state=5"]
    first = experiment.run(point(*words), root, quiet=True)
    before = store.load_scores(first)
    where = experiment.run(point(*words, "evaluate.state_bits=[32,4,1]"), root, quiet=True)
    assert where == first, "the squeeze is no part of a run's identity"
    return where, before


def test_asking_again_adds_rows_and_changes_none(asked):
    where, (rows_before, items_before) = asked
    found, items = store.load_scores(where)
    assert found[: len(rows_before)] == rows_before
    assert len(found) == len(rows_before) + 3 * 2, "for each split and length that is asked for, not for validation"
    assert all(np.array_equal(items[key], items_before[key]) for key in items_before)
    assert [row["bits_per_number"] for row in found[len(rows_before) :]] == [32, 4, 1] * 2
    assert len({store.item_key(row) for row in found}) == len(found)


def test_the_keys_of_plain_rows_are_what_they_were(asked):
    where, (plain, _) = asked
    assert store.item_key(plain[-1]) == "boundary-length6-steps0-budget-examples40"
    assert store.item_key(store.load_scores(where)[0][-1]) == "boundary-length6-steps0-budget-bits1-examples40"
    older = {key: value for key, value in plain[-1].items() if key not in ("bits_per_number", "state_bits")}
    assert store.item_key(older) == store.item_key(plain[-1])


def test_a_row_of_a_frame_has_the_key_of_the_file(asked):
    where, _ = asked
    found, items = store.load_scores(where)
    frame = pd.concat([store.read_run(where), pd.DataFrame([{"run": "failed", "status": "FAILED"}])])
    keys = [store.item_key(row) for row in frame.dropna(subset=["accuracy"]).to_dict("records")]
    assert sorted(keys) == sorted(map(store.item_key, found))
    assert set(keys) <= set(items)


def test_a_squeezed_row_costs_what_the_plain_one_does_and_uses_its_bits(asked):
    where, _ = asked
    frame = complete(store.read_run(where))
    for _, group in frame[frame["split"] == "boundary"].groupby("length"):
        plain, told = group[group["bits_per_number"].isna()].iloc[0], group[group["bits_per_number"].notna()]
        for column in (
            "prompt_flops",
            "decode_flops",
            "scored_pairs",
            "state_bytes",
            "serial_steps",
            "steps",
            "scratch_tokens",
        ):
            assert (told[column] == plain[column]).all()
        assert plain["state_bits"] == 8 * plain["state_bytes"] == 2 * 5 * 32
        assert list(told["state_bits"]) == [2 * 5 * bits for bits in told["bits_per_number"]]
        assert (told["least_state_bits"] == plain["least_state_bits"]).all(), "both are about the middle of the prompt"
        whole = told[told["bits_per_number"] == 32].iloc[0]
        assert whole["accuracy"] == plain["accuracy"]


def test_the_state_of_a_cache_is_counted_at_the_cut(tmp_path):
    frame = store.read_run(experiment.run(point("evaluate.state_bits=[3]"), tmp_path, quiet=True))
    found = frame[frame["bits_per_number"].notna()].set_index("length")["state_bits"]
    per_token = 2 * 2 * 16  # two layers, keys and values, 16 wide
    assert found.to_dict() == {5: 3 * per_token * (1 + 2), 6: 3 * per_token * (1 + 3)}


def test_older_rows_are_read_and_their_bits_are_those_of_their_bytes(asked):
    _, (plain, _) = asked
    older = pd.DataFrame(plain).drop(columns=["bits_per_number", "state_bits"])
    found = complete(older)
    assert list(found["state_bits"]) == [8 * row["state_bytes"] for row in plain]
    assert found["bits_per_number"].isna().all()
    assert len(at_trained_steps(older)) == len(older) == len(unsqueezed(older))


def test_older_settings_are_read():
    settings = point().settings()
    assert settings["evaluate"].pop("state_bits") == ()
    assert Experiment.of(settings) == point()


def test_no_reader_takes_squeezed_rows_into_an_average(asked):
    where, _ = asked
    frame = store.read_run(where).assign(status="DONE")
    plain = frame[frame["bits_per_number"].isna()]
    wrong = frame.assign(accuracy=frame["accuracy"].where(frame["bits_per_number"].isna(), -7.0))
    assert compare.text(compare.table(wrong)) == compare.text(compare.table(plain))
    assert compare.text(compare.table(wrong, ["length", "steps"])) == compare.text(
        compare.table(plain, ["length", "steps"])
    )
    assert summary.table(wrong) == summary.table(plain)
    assert summary.seen(wrong) == summary.seen(plain)
    for draw in (figures.accuracy_against_length, figures.cost_against_length):
        assert curves(draw(wrong)) == curves(draw(plain))
    assert len(scored(wrong)) == len(plain)
    assert len(scored(wrong, squeezed=True)) == len(frame)
    assert len(scored(wrong, as_trained=True, squeezed=True)) == len(frame)


def test_nor_the_figure_of_steps():
    rows_of = pd.DataFrame(steps_rows())
    plain = rows_of[rows_of["bits_per_number"].isna()]
    assert curves(figures.accuracy_against_steps(rows_of)) == curves(figures.accuracy_against_steps(plain))


def steps_rows():
    for budget, bits in product((2, 4), (None, 4)):
        accuracy = -3.0 if bits else budget / 5
        yield {
            "run": f"r{budget}", "recipe": f"c{budget}", "status": "DONE", "seed": 0, "task": "pairwise",
            "attention": "gru", "scratchpad": "budget", "scratchpad.scale": float(budget), "split": "boundary",
            "length": 8, "in_range": True, "steps": budget, "steps_trained": budget, "stop": "budget",
            "bits_per_number": bits, "accuracy": accuracy, "accuracy_low": accuracy - 0.1,
            "accuracy_high": accuracy + 0.1, "chance": 0.5, "majority": 0.5,
        }  # fmt: skip


def curves(figure):
    return [[line.get_xydata().tolist() for line in axis.lines] for axis in figure.axes]


def test_a_comparison_that_asks_for_them_has_a_row_for_each(asked):
    where, _ = asked
    table = compare.table(store.read_run(where), ["bits_per_number", "length"])
    assert len(table) == 4 * 2
    assert compare.markdown(table)


def test_the_questions_are_every_place_plainly_and_squeezed():
    run = point("scratchpad=full", "evaluate.steps=[1,2]", "evaluate.state_bits=[4,2]")
    found = list(rows._questions(run))
    plain = [question for question in found if question.bits is None]
    assert [question.split for question in plain[:2]] == ["validation"] * 2
    told = [question for question in found if question.bits is not None]
    assert set(told) == {question._replace(bits=bits) for question in plain[2:] for bits in (4, 2)}
    assert asdict(run.evaluate)["state_bits"] == (4, 2)


def test_the_budgets_of_a_place_stand_together_so_that_they_share_its_prompt():
    run = point("scratchpad=full", "evaluate.steps=[1,2]", "evaluate.state_bits=[4]")
    plain = [one for one in rows._questions(run) if one.bits is None and one.split != "validation"]
    together = [[one.stop.steps for one in same] for _, same in groupby(plain, key=lambda one: one.prompt)]
    assert together == [[1, 2]] * (len(run.evaluate.splits) * len(run.evaluate.lengths))
