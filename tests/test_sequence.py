"""Scratchpads, the sequences that a model sees, and which instances are drawn: laws over every task."""

from dataclasses import fields, replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness import draw
from harness.draw import Source
from harness.scratchpad import Scratchpad
from harness.sequence import IGNORE, encode, marks, vocabulary, word
from tasks.base import SPLITS, Trace
from tasks.pairwise import Pairwise

NONE = Scratchpad("none", "trace", None, 0, 0)
FULL = Scratchpad("full", "trace", None, None, 0)
HALF = Scratchpad("full", "trace", None, 0.5, 1)
TWO = Scratchpad("full", "trace", None, 2, 0)
ROOT = Scratchpad("full", "trace", None, 1, 0.5)
FILLER = Scratchpad("filler", "filler", None, 1, 1)
SCRATCHPADS = {"none": NONE, "full": FULL, "half": HALF, "two": TWO, "root": ROOT, "filler": FILLER}
B = 6  # instances


@pytest.fixture
def length(task):
    return task.shortest + 5


@pytest.fixture
def instance(task, length):
    return task.sample(np.random.default_rng(7), B, length, "broad")


@pytest.fixture
def batch(task, scratchpad, instance, length):
    return encode(task, scratchpad, instance, length)


def counter(steps):
    """A task whose one trace counts: step s is the token s."""
    trace = Trace(1, "", lambda n: steps, lambda p: np.tile(np.arange(steps)[:, None], (len(p), 1, 1)), None, None)
    return SimpleNamespace(traces={"count": trace})


def test_the_layout_is_start_prompt_think_scratch_answer_answer_end(task, scratchpad, instance, length, batch):
    mark = marks(task)
    scratch = scratchpad.write(task, instance.prompt, length, mark.filler)
    assert scratch.shape == (B, scratchpad.tokens(task, length))
    for row, tokens in enumerate(batch.tokens.tolist()):
        head = [mark.start, *instance.prompt[row]]
        if instance.at is None:
            head += [mark.think, *scratch[row], mark.answer, *instance.answer[row]]
        assert tokens == [*head, mark.end]
    assert batch.tokens.dtype == torch.int64
    assert 0 <= batch.tokens.min() <= batch.tokens.max() < vocabulary(task)
    assert batch.answer.tolist() == instance.answer.tolist()
    assert batch.read.shape[1] == batch.tokens.shape[1] - 1


def picked(batch, at):
    """What the targets say at these positions."""
    return batch.targets[:, : batch.read.shape[1]][:, at] if isinstance(at, slice) else batch.targets.gather(1, at)


def hold_supervision(batch):
    """``supervised`` are exactly the positions with targets, ``labels`` those targets, ``said`` where the answer is."""
    columns = torch.arange(batch.tokens.shape[1]).expand(len(batch.tokens), -1)
    at = columns[:, batch.supervised] if isinstance(batch.supervised, slice) else batch.supervised
    assert at.tolist() == [row[wanted].tolist() for row, wanted in zip(columns, batch.targets != IGNORE, strict=True)]
    assert torch.equal(batch.labels, batch.targets.gather(1, at))
    assert torch.equal(picked(batch, batch.said), batch.answer)


def test_what_is_given_is_never_supervised_and_everything_after_is(after, batch):
    tokens, targets, given = batch.tokens, batch.targets, batch.given
    assert (targets[:, : given - 1] == IGNORE).all()
    assert (targets[:, given - 1 : -1] == tokens[:, given:]).all()
    assert (targets[:, -1] == IGNORE).all()
    assert batch.supervised == slice(given - 1, tokens.shape[1] - 1)
    hold_supervision(batch)


def test_answers_inside_the_prompt_are_supervised_where_they_are_said(inside, task, instance, length):
    batch = encode(task, NONE, instance, length)
    assert (batch.given, batch.count(), batch.forced()) == (1 + instance.prompt.shape[1], 0, {})
    assert torch.equal(
        batch.tokens.gather(1, batch.said), torch.from_numpy(np.take_along_axis(instance.prompt, instance.at, 1))
    )
    assert (batch.targets != IGNORE).sum().item() == instance.answer.size
    hold_supervision(batch)


def test_a_sequence_objective_supervises_every_token_but_start_and_filler(task, scratchpad, instance, length, batch):
    whole = encode(task, scratchpad, instance, length, "sequence")
    assert torch.equal(whole.tokens, batch.tokens)
    wanted = whole.tokens[:, 1:].clone()
    wanted[wanted == marks(task).filler] = IGNORE
    if instance.at is not None:  # where an answer is said, it takes the place of the token that follows
        wanted.scatter_(1, whole.said, whole.answer)
    assert torch.equal(whole.targets[:, :-1], wanted)
    assert (whole.targets[:, -1] == IGNORE).all()
    hold_supervision(whole)


@pytest.mark.parametrize("objective", ["answer", "sequence"])
def test_a_dense_readout_supervises_the_answer_so_far(dense, task, scratchpad, instance, length, objective):
    so_far, prompt = task.so_far(instance.prompt), slice(1, 1 + instance.prompt.shape[1])
    plain, dense = (encode(task, scratchpad, instance, length, objective, how) for how in (False, True))
    assert torch.equal(plain.tokens, dense.tokens)
    expected = plain.targets.clone()
    expected[:, prompt] = torch.where(torch.from_numpy(so_far >= 0), torch.from_numpy(so_far), expected[:, prompt])
    assert torch.equal(dense.targets, expected)
    assert not torch.equal(dense.targets, plain.targets)
    hold_supervision(dense)


def test_given_ends_with_think_or_the_filler_after_it(after, task, scratchpad, instance, length, batch):
    mark, filler = marks(task), scratchpad.tokens(task, length) if scratchpad.content == "filler" else 0
    assert batch.prompt.tolist() == [[mark.start, *p, mark.think, *[mark.filler] * filler] for p in instance.prompt]


def test_filler_is_given_and_the_steps_of_a_trace_are_decoded(task, scratchpad, length, batch):
    tokens = scratchpad.tokens(task, length)
    assert batch.scratch == (0 if scratchpad.content == "filler" else tokens)
    assert batch.scratch == batch.step * (scratchpad.steps(task, length) if batch.scratch else 0)


def test_think_and_answer_stand_there_at_0_steps(after, task, instance, length):
    none, empty = (encode(task, pad.canonical(task), instance, length) for pad in (NONE, replace(FILLER, scale=0)))
    mark = marks(task)
    assert (none.tokens[:, none.given - 1 : none.given + 1] == torch.tensor([mark.think, mark.answer])).all()
    assert torch.equal(none.tokens, empty.tokens)


def test_written_is_what_the_model_must_say_and_answer_is_put_in_its_mouth(after, task, batch):
    said = batch.targets[batch.targets != IGNORE].reshape(B, -1)
    assert torch.equal(batch.written, said[:, :-1])  # all but END
    assert batch.written.shape == (B, batch.count())
    assert batch.forced() == {batch.scratch: marks(task).answer}
    assert (batch.written == marks(task).answer).nonzero()[:, 1].tolist() == [batch.scratch] * B


def test_rows_are_some_of_the_sequences(batch):
    some = batch.rows(1, 4)
    assert torch.equal(some.tokens, batch.tokens[1:4])
    assert torch.equal(some.targets, batch.targets[1:4])
    assert torch.equal(some.answer, batch.answer[1:4])
    assert torch.equal(some.labels, batch.labels[1:4])
    assert (some.given, some.scratch, some.step) == (batch.given, batch.scratch, batch.step)


def test_every_token_reads_as_a_word(task):
    words = [word(task, token) for token in range(vocabulary(task))]
    assert words[: task.vocab] == [task.word(token) for token in range(task.vocab)]
    assert words[task.vocab :] == ["START", "THINK", "ANSWER", "END", "FILLER"]


def test_a_full_scratchpad_is_every_step_of_its_trace(task, instance, length):
    for name, trace in task.traces.items():
        scratch = replace(FULL, trace=name).canonical(task).write(task, instance.prompt, length, filler=-1)
        assert (scratch == trace.steps(instance.prompt).reshape(B, -1)).all()


def evenly_spaced(kept, steps):
    """Whether ``kept`` of the steps 0 .. steps - 1 end with the last and leave gaps that differ by at most one."""
    gaps = np.diff([-1, *kept])
    return kept[-1] == steps - 1 and gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_k_of_s_steps_are_evenly_spaced_and_include_the_last():
    for steps in range(1, 25):
        for budget in range(1, steps + 1):
            pad, task = Scratchpad("b", "trace", "count", budget, 0), counter(steps)
            (kept,) = pad.canonical(task).write(task, np.zeros((1, 3)), 3, filler=-1)
            assert len(kept) == budget
            assert evenly_spaced(kept, steps)


@pytest.mark.parametrize(
    "kept",
    [
        lambda budget, steps: np.arange(budget),
        lambda budget, steps: np.arange(budget) * steps // budget,
        lambda budget, steps: np.arange(1, budget + 1) * (steps // budget) - 1,
        lambda budget, steps: np.maximum(np.linspace(0, steps, budget).astype(int) - 1, 0),
    ],
    ids=["the_first", "without_the_last", "whole_gaps", "both_ends"],
)
def test_steps_that_are_not_evenly_spaced_are_caught(kept):
    cases = ((budget, steps) for steps in range(1, 25) for budget in range(1, steps + 1))
    assert not all(evenly_spaced(kept(*case), case[1]) for case in cases)


@pytest.mark.parametrize(
    ("scale", "power", "length", "steps"),
    [(0.5, 1, 9, 4), (0.5, 1, 10, 5), (2, 0, 99, 2), (1, 0.5, 16, 4), (1, 2, 5, 25), (3, 0.5, 10, 9), (0.01, 1, 10, 0)],
)
def test_k_grows_as_a_power_of_the_length(scale, power, length, steps):
    for content in ("trace", "filler"):
        pad = Scratchpad("b", content, None, scale, power).canonical(counter(30))
        assert pad.steps(counter(30), length) == steps


def test_more_steps_than_the_trace_has_are_refused(task, length):
    for name, trace in task.traces.items():
        enough = Scratchpad("b", "trace", name, trace.count(length), 0).canonical(task)
        assert enough.steps(task, length) == trace.count(length)
        with pytest.raises(ValueError, match=rf"scratchpad\.scale={trace.count(length) + 1}.*{name}"):
            replace(enough, scale=trace.count(length) + 1).steps(task, length)


def test_any_scratchpad_of_0_steps_is_none(task):
    values = product(("none", "full"), ("trace", "filler"), (None, *task.traces), (0, 0.0), (0, 0.5, 1))
    assert {Scratchpad(*value).canonical(task) for value in values} == {NONE.canonical(task)}


def test_the_default_trace_is_the_first(task):
    for name in list(task.traces)[:1]:
        assert FULL.canonical(task) == replace(FULL, trace=name).canonical(task)


def test_canonical_is_idempotent(task, scratchpad):
    assert str(scratchpad.canonical(task)) == str(scratchpad)


@pytest.mark.parametrize("context", ["none", "half", "two", "filler"])
def test_equal_numbers_are_one_text(context):
    pad = SCRATCHPADS[context]
    floats = replace(pad, scale=float(pad.scale), power=float(pad.power))
    assert str(pad.canonical(Pairwise())) == str(floats.canonical(Pairwise()))  # the run's id is made of text


OTHER = {"name": "mine", "content": "filler", "trace": "extremes", "scale": 3, "power": 0.25}
CANNOT_MATTER = {
    "none": {"name", "content", "trace", "power"},  # nothing is written
    "full": {"name", "power"},  # every step is; the name follows from what is written
    "half": {"name"},
    "filler": {"name", "trace"},
}


def test_every_setting_of_a_scratchpad_is_accounted_for():
    assert set(OTHER) == {field.name for field in fields(Scratchpad)}


@pytest.mark.parametrize(
    ("context", "field"), [case for case in product(CANNOT_MATTER, OTHER) if case != ("full", "content")]
)
def test_a_setting_changes_the_value_unless_it_cannot_matter(context, field):
    pad, task = SCRATCHPADS[context], Pairwise()
    other = "trace" if (context, field) == ("filler", "content") else OTHER[field]
    same = replace(pad, **{field: other}).canonical(task) == pad.canonical(task)
    assert same == (field in CANNOT_MATTER[context])


REFUSED = {
    r"scratchpad\.content=fill": {"content": "fill"},
    r"scratchpad\.scale=null": {"content": "filler", "scale": None},
    r"scratchpad\.scale=-1": {"scale": -1},
    r"scratchpad\.scale=nan": {"scale": float("nan")},
    r"scratchpad\.scale=1e\+300": {"scale": 1e300},
    r"scratchpad\.power=-1": {"power": -1},
    r"scratchpad\.power=nan": {"power": float("nan")},
    r"scratchpad\.trace=extrems .*, did you mean extremes\?": {"trace": "extrems"},
    r"scratchpad\.trace=runing_extremes .*, did you mean running_extremes\?": {"trace": "runing_extremes", "scale": 0},
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_an_impossible_scratchpad_is_refused(sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(HALF, **REFUSED[sentence]).canonical(Pairwise())


def test_a_trace_of_a_task_without_any_is_refused():
    task = SimpleNamespace(traces={})
    assert NONE.canonical(task).steps(task, 9) == 0
    assert FILLER.canonical(task).steps(task, 9) == 9
    with pytest.raises(ValueError, match=r"scratchpad=full: .*none and filler"):
        FULL.canonical(task)


@pytest.fixture
def asked(task, monkeypatch):
    """Every call of ``task.sample``: (split, size)."""
    calls, sample = [], type(task).sample

    def recorded(task, rng, size, length, split):
        calls.append((split, size))
        return sample(task, rng, size, length, split)

    monkeypatch.setattr(type(task), "sample", recorded)
    return calls


@pytest.fixture
def streams(monkeypatch):
    """Every random stream that was drawn from."""
    calls, rng = [], draw.rng

    def recorded(*triple):
        calls.append(triple)
        return rng(*triple)

    monkeypatch.setattr(draw, "rng", recorded)
    return calls


@pytest.mark.parametrize("mix", [0, 0.25, 0.5, 1])
def test_a_training_batch_has_exactly_its_share_of_boundary_twins(task, asked, length, mix):
    _, batch = Source(task, NONE, 3).training(1, (length,), 12, mix)
    assert dict(asked) == {split: n for split, n in (("boundary", 12 * mix), ("broad", 12 - 12 * mix)) if n}
    assert len(batch.tokens) == 12


def test_fewer_items_are_the_first_of_more(task, length):
    source = Source(task, NONE, 3)
    for split in SPLITS:
        few, many = (source.items(split, length, size).tokens for size in (40, 640))
        assert torch.equal(few, many[:40])


def test_validation_is_half_boundary_half_broad(task, asked, length):
    batch = Source(task, NONE, 3).items("validation", length, 20)
    assert asked == [("boundary", 10), ("broad", 10)]
    twins, answers = (part[:10].reshape(5, 2, -1) for part in (batch.prompt, batch.answer))
    edited = (twins[:, 0] != twins[:, 1]).sum(1)
    assert (edited >= 1).all()
    assert (edited <= task.twin_tokens).all()
    assert (answers[:, 0] != answers[:, 1]).any(1).all()


@pytest.mark.parametrize("split", SPLITS)
def test_a_test_split_asks_for_itself_alone(task, asked, length, split):
    Source(task, NONE, 3).items(split, length, 20)
    assert asked == [(split, draw.BLOCK)]


def test_no_two_draws_share_a_stream(task, streams):
    lengths = (task.shortest, task.shortest + 5)
    for seed in (0, 1):
        source = Source(task, NONE, seed)
        for update in range(1, 30):
            source.training(update, lengths, 4, 0.5)
        for split, length in product((*SPLITS, "validation"), lengths):
            source.items(split, length, 4)
    assert len(streams) == 2 * (29 * 3 + 2 * (3 + 2))
    assert len(set(streams)) == len(streams)


@pytest.mark.parametrize("split", [*SPLITS, "validation"])
def test_items_depend_on_seed_split_and_length_alone(task, scratchpad, instance, length, split):
    def prompts(source, length=length):
        return source.items(split, length, 8).tokens[:, 1 : 1 + instance.prompt.shape[1]].tolist()

    plain, other = Source(task, NONE, 3), Source(task, scratchpad, 3)
    other.training(1, (length,), 4, 0.5)
    assert prompts(plain) == prompts(other)
    assert prompts(plain) != prompts(Source(task, NONE, 4))
    assert prompts(plain) != prompts(plain, length + 1)


def test_every_update_has_one_length_and_all_equally_often(task):
    lengths = tuple(range(task.shortest, task.shortest + 4))
    source = Source(task, NONE, 3)
    drawn = [source.training(update, lengths, 1, 0.5)[0] for update in range(1, 801)]
    counts = np.array([drawn.count(length) for length in lengths])
    assert (abs(counts - 200) < 5 * (800 * 1 / 4 * 3 / 4) ** 0.5).all()


def test_the_loss_floor_is_the_entropy_for_each_supervised_token_where_only_prompts_are_random(task, length):
    sequence, entropy = Source(task, NONE, 3, "sequence"), task.entropy(length)
    known = entropy is not None and not sequence.batch(length, 2).inside  # there an answer takes a token's place
    floor = sequence.loss_floor((length,))
    assert (floor is not None) == known
    if known:
        assert floor == entropy / sequence.batch(length, 2).labels.shape[1]
        assert sequence.loss_floor((length, length)) == pytest.approx(floor)
    assert Source(task, NONE, 3).loss_floor((length,)) is None
