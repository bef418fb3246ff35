"""A looped model is the unrolled one, a position speaks from where it stopped, and what it costs is counted."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import cost, identity, rows, store, train, validity
from harness.attention import MASKS
from harness.attention.check import count_flops
from harness.attention.softmax import Softmax
from harness.config import points
from harness.draw import Source
from harness.evaluate import AS_TRAINED, Question, evaluate
from harness.experiment import run
from harness.model import GPT, build
from harness.model.halting import divergence, prior, stopped
from harness.model.positions import Nowhere
from harness.nearest import Refusal
from harness.report.select import at_trained_steps, scored
from harness.sequence import IGNORE, encode, vocabulary
from tasks.pairwise import Pairwise
from tests.conftest import variant
from tests.test_model import BATCH, problems

LOOPS, LAYERS, WIDTH, HEADS = 3, 2, 12, 2
MIXERS = {name: variant(name) for name in ("softmax", "linear", "gru")}


def looped(mixer=Softmax, halts=False, loops=LOOPS, mask="causal"):
    """A small model far from its initial distributions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixers = [mixer(WIDTH, HEADS) for _ in range(LAYERS)]
        place = Nowhere(WIDTH, WIDTH, WIDTH // HEADS)
        model = GPT(vocabulary(Pairwise()), WIDTH, mixers, place, mask=mask, loops=loops, halts=halts)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
    return model.double()


def some(tokens=13):
    return torch.from_numpy(np.random.default_rng(tokens).integers(0, vocabulary(Pairwise()), (BATCH, tokens)))


@pytest.mark.parametrize(
    ("mixer", "mask"), [(name, mask) for name in ("softmax", "linear") for mask in MASKS] + [("gru", "causal")]
)
def test_it_is_the_model_whose_blocks_are_written_out_one_after_the_other(mixer, mask):
    model, tokens = looped(MIXERS[mixer], mask=mask), some()
    unrolled = looped(MIXERS[mixer], mask=mask, loops=1)
    unrolled.blocks = nn.ModuleList([block for _ in range(LOOPS) for block in model.blocks])
    said = model.read(tokens, 5, slice(3, None))
    assert torch.allclose(said, unrolled.read(tokens, 5, slice(3, None)), rtol=1e-12, atol=1e-12)
    once = model.looped(1).read(tokens, 5, slice(3, None))
    assert not torch.allclose(said, once, rtol=1e-3, atol=1e-3), "loops change nothing"


@pytest.mark.parametrize("halts", [False, True])
@pytest.mark.parametrize("mixer", MIXERS)
def test_decoding_with_a_cache_is_reading_again(mixer, halts):
    model, given = looped(MIXERS[mixer], halts), some()
    written = model.generate(given, 9, {3: 7})
    sequence = torch.cat([given, written], 1)
    for offset in (0, 1, 2, 4, 8):
        again = model.read(sequence[:, : 13 + offset], 13, slice(-1, None))[:, 0]
        assert torch.equal(sequence[:, 13 + offset], again.argmax(-1))


def test_the_chances_to_stop_are_a_distribution_whose_median_is_taken():
    halting = looped(halts=True).halting
    chances = halting(torch.randn(LOOPS, BATCH, 7, WIDTH, dtype=torch.float64))
    assert torch.allclose(chances.sum(0), torch.ones(BATCH, 7, dtype=torch.float64))
    assert (chances >= 0).all()
    rates = torch.sigmoid(halting.project_in(halting.norm(torch.zeros(1, WIDTH, dtype=torch.float64))))
    alike = halting(torch.zeros(LOOPS, 1, 1, WIDTH, dtype=torch.float64)).flatten()
    assert torch.allclose(alike[0], rates.squeeze())
    assert torch.allclose(alike[1], (rates * (1 - rates)).squeeze())
    told = torch.tensor([[0.5, 0.49, 0.1, 0.0], [0.3, 0.01, 0.3, 0.0], [0.2, 0.5, 0.6, 1.0]])[:, None]
    assert stopped(told).tolist() == [[0, 1, 2, 2]]


@pytest.mark.parametrize("mean", [1.5, 4.0, 100.0])
def test_the_divergence_is_that_of_kullback_and_leibler(mean):
    expected = prior(8, mean)
    assert math.isclose(float(expected.sum()), 1, rel_tol=1e-6)
    assert math.isclose(float(expected[1] / expected[0]), 1 - 1 / mean, rel_tol=1e-5)
    assert float(divergence(expected[:, None, None], mean).abs().max()) < 1e-6
    chances = torch.softmax(torch.randn(8, 2, 3, dtype=torch.float64), 0)
    theirs = F.kl_div(expected.double().log()[:, None, None].expand_as(chances), chances, reduction="none").sum(0)
    assert torch.allclose(divergence(chances, mean), theirs, rtol=1e-5)
    certain = torch.zeros(8, 1, 1)
    certain[2] = 1
    assert math.isclose(float(divergence(certain, mean)), -math.log(float(expected[2])), rel_tol=1e-5)


def test_a_position_speaks_from_the_loop_after_which_it_stops():
    model, tokens = looped(halts=True), some()
    stops, said = model.stops(tokens, 13, slice(None)), model.read(tokens, 13, slice(None))
    assert len(stops.unique()) > 1, "all stop alike: nothing is tested"
    for loops in range(1, LOOPS + 1):
        forced = model.looped(loops).read(tokens, 13, slice(None))
        here = stops == loops
        assert torch.allclose(said[here], forced[here], rtol=1e-9, atol=1e-9)
    assert (looped().stops(tokens, 13, slice(4, 6)) == LOOPS).all()


def test_the_objective_is_an_expectation_over_the_loop_after_which_it_stops():
    (experiment,) = points(["task=pairwise", "model.loops=3", "model.halting=ponder", "train.ponder=0.25"])
    model, batch = looped(halts=True), problems("full", 4)
    logits, chances = model.read_each(batch.read, batch.given, batch.supervised)
    total = []
    for row, place in (batch.labels != IGNORE).nonzero().tolist():
        nats = [F.cross_entropy(logits[r, row, place], batch.labels[row, place]) for r in range(LOOPS)]
        p = chances[:, row, place]
        total.append(sum(p[r] * nats[r] for r in range(LOOPS)) + 0.25 * divergence(p[:, None, None], 4.0).squeeze())
    assert torch.allclose(train.objective(model, batch, experiment.train), torch.stack(total).mean())


@pytest.mark.parametrize("halts", [False, True])
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize(("scratchpad", "length"), [("none", 9), ("filler", 9), ("full", 5)])
def test_it_costs_what_torch_counts(mixer, halts, scratchpad, length):
    model, batch = looped(MIXERS[mixer], halts), problems(scratchpad, length)
    stated = cost.answering(model, batch)
    frozen = looped(MIXERS[mixer], halts).requires_grad_(False)
    answered, _ = count_flops(frozen.generate, batch.prompt, batch.count(), batch.forced())
    assert answered == BATCH * (stated.prompt_flops + stated.decode_flops)
    _, state = model(batch.tokens[:, : batch.given + batch.count() - 1], model.empty(BATCH))
    carried = [tensor for layer in state for tensor in layer[1:] if tensor.ndim]
    assert BATCH * stated.state_bytes == sum(tensor.nbytes for tensor in carried)
    with_loss = replace(points(["task=pairwise"])[0].train, ponder=0.0)
    forward, loss = count_flops(lambda: train.objective(model, batch, with_loss))
    backward, _ = count_flops(loss.backward)
    assert forward + backward == cost.training_flops(model, batch)
    one, two = (cost.answering(model.looped(loops), batch).scored_pairs for loops in (1, 2))
    assert stated.scored_pairs == one + (LOOPS - 1) * (two - one), "all but the last loop's last block do the same"
    whole = sum(block.mixer.scored_pairs(*made.read) for block in model.blocks for made in passes(batch))
    assert two - one == whole >= one


def passes(batch):
    return cost.passes("causal", batch.given, batch.count(), batch.forced())


def test_the_run_of_one_loop_is_the_run_it_was():
    (plain,) = points(["task=pairwise"])
    (told,) = points(["task=pairwise", "model.loops=1", "model.halting=none", "train.ponder=0.5"])
    (asked,) = points(["task=pairwise", "evaluate.loops=[2]"])
    assert identity.identity(plain) == identity.identity(told) == identity.identity(asked)
    others = [["model.loops=2"], ["model.loops=2", "model.halting=ponder"]]
    others += [["model.loops=2", "model.halting=ponder", "train.prior_loops=2"]]
    ids = {identity.identity(point)[0] for words in others for point in points(["task=pairwise", *words])}
    assert len(ids | {identity.identity(plain)[0]}) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.loops=0"], "model.loops=0: 1 to 1000 are possible"),
        (["model.halting=pondr", "model.loops=2"], "did you mean ponder"),
        (["model.halting=ponder"], "with model.loops=1 there is nothing to stop"),
        (["model.halting=ponder", "model.loops=2", "mask=encoder"], "model.halting=none is possible"),
        (["evaluate.loops=[2,2]"], "each number of loops once"),
        (["evaluate.loops=[0]"], "1 to 1000 are possible"),
        (["train.prior_loops=1"], "more than 1 is needed"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words, said):
    with pytest.raises(Refusal, match=said):
        points(["task=pairwise", *words])


SMALL = (
    "task=pairwise task.values=16 task.alpha=5 model.layers=1 model.width=16 model.heads=2 train.updates=3 "
    "train.warmup=1 train.batch=4 train.lengths=[4] train.validate_examples=8 evaluate.examples=20 "
    "evaluate.lengths=[4,6] "
    "evaluate.splits=[boundary]"
).split()


def test_forced_loops_are_rows_of_their_own_that_no_other_reader_takes_for_the_models(tmp_path):
    words = [*SMALL, "model.loops=3", "model.halting=ponder", "evaluate.loops=[1,3,5]"]
    (point,) = points(words)
    folder = run(point, tmp_path, quiet=True)
    frame = store.read_run(folder).assign(status="DONE")
    asked = frame[frame["split"] == "boundary"]
    assert asked.groupby("length")["forced_loops"].apply(lambda k: sorted(k.dropna())).tolist() == [[1, 3, 5]] * 2
    assert (asked["loops_used"] == asked["forced_loops"].fillna(asked["loops_used"])).all()
    assert set(asked["loops_trained"]) == {3}
    assert scored(frame)["forced_loops"].isna().all()
    assert at_trained_steps(frame)["forced_loops"].isna().all()
    price = asked[asked["length"] == 6].set_index("forced_loops")["prompt_flops"]
    assert price[5.0] - price[3.0] == pytest.approx(price[3.0] - price[1.0])
    (free,) = asked[asked["forced_loops"].isna() & (asked["length"] == 6)].to_dict("records")
    logged = pd.read_csv(folder / "loops.csv")
    own = logged[(logged["split"] == "boundary") & (logged["length"] == 6) & logged["forced_loops"].isna()]
    assert own["items"].sum() == 20
    assert np.average(own["loops"], weights=own["items"]) == pytest.approx(free["loops_used"])
    again = run(points([*words, "evaluate.loops=[1,3,5,7]"])[0], tmp_path, quiet=True)
    assert again == folder
    assert len(pd.read_csv(folder / "loops.csv")) == len(logged) + 2


def test_of_a_model_without_halting_the_trained_number_is_no_second_row():
    (point,) = points([*SMALL, "model.loops=2", "evaluate.loops=[1,2]"])
    asked = [question for question in rows._questions(point) if question.split == "boundary"]
    assert sorted((q.length, q.loops) for q in asked if q.loops) == [(4, 1), (6, 1)]
    assert len(asked) == 4


def test_forced_to_stop_is_the_model_of_so_many_loops():
    (point,) = points([*SMALL, "model.loops=3"])
    model, source = build(point), Source.of(point)
    (forced,) = evaluate(model, source, [Question("boundary", 6, AS_TRAINED, None, 2)], 20)
    (other,) = evaluate(model.looped(2), source, [Question("boundary", 6)], 20)
    assert forced.right.tolist() == other.right.tolist()
    assert forced.loops_used == other.loops_used == 2


def test_a_looped_model_learns_and_resumes_where_it_was(tmp_path):
    (point,) = points([*SMALL, "model.loops=2", "model.halting=ponder", "train.updates=4"])
    model, batch = build(point), Source.of(point).batch(4, 8)
    optimizer = train.optimizer(model, point.train)
    before = [parameter.detach().clone() for parameter in model.halting.parameters()]

    def draw(update):
        return 4, batch, None

    losses = [progress.loss for progress in train.fit(model, optimizer, draw, replace(point.train, updates=40))]
    assert losses[-1] < losses[0]
    assert all(not torch.equal(a, b) for a, b in zip(before, model.halting.parameters(), strict=True))


def test_the_items_of_a_problem_are_encoded_as_ever():
    """Loops are no part of the sequence."""
    task = Pairwise()
    (point,) = points(["task=pairwise", "model.loops=4"])
    instance = task.sample(np.random.default_rng(0), 2, 4, "broad")
    assert encode(point.task, point.scratchpad, instance, 4).given == point.tokens(4) - 2


def test_what_a_forced_model_reaches_is_no_recorded_best(tmp_path, monkeypatch):
    (point,) = points([*SMALL, "model.loops=3", "model.halting=ponder", "evaluate.loops=[1]"])
    run(point, tmp_path, quiet=True)
    rows_of, read = store.read_run, []

    def better(folder):
        found = rows_of(folder)
        read.append(found.assign(accuracy=found["accuracy"].mask(found["forced_loops"].notna(), 2.0)))
        return read[-1]

    monkeypatch.setattr(store, "read_run", better)
    best = validity._best(point, [tmp_path])
    assert (read[0]["accuracy"] == 2.0).any()
    assert all(accuracy < 2 for accuracy, _ in best.values())
