"""Verdicts on rows that are made by a known law: each comes out as it must."""

import math

import numpy as np
import pandas as pd
import pytest

from harness.report import ledger
from harness.report.claims import Claim, judge
from harness.report.evidence import Evidence, tuned
from harness.report.stats import wilson

EXAMPLES = 2000
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
BITS = (8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024)


def row(run, accuracy, *, length=8, split="boundary", seed=0, rate=1e-3, arm="state", status="DONE", **more):
    """A row as `store.read` gives it."""
    low, high = wilson(round(accuracy * EXAMPLES), EXAMPLES) if status == "DONE" else (math.nan, math.nan)
    settings = {"model.width": 16, "attention.state": 16, "train.learning_rate": rate, "scratchpad.scale": 0.0}
    about = {
        "run": run, "recipe": run.rsplit("-", 1)[0], "status": status, "reason": "" if status == "DONE" else "it broke",
        "task": "pairwise", "attention": "gru", "scratchpad": "none", "seed": seed, "arm": arm, **settings,
    }  # fmt: skip
    about |= {key: value for key, value in more.items() if key in about or "." in key}
    if status != "DONE":
        return about
    measures = {
        "split": split, "length": length, "in_range": True, "steps": 0, "steps_trained": 0, "stop": "budget",
        "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high, "chance": 0.5, "examples": EXAMPLES,
        "bits_per_number": math.nan, "state_bits": 512.0, "least_state_bits": 5.67, "token_accuracy": accuracy,
        "scratch_tokens": 0, "prompt_flops": 1e4, "decode_flops": 1e3,
    }  # fmt: skip
    return about | measures | {key: value for key, value in more.items() if key in measures}


def needing(exponent, seeds=3, noise=0.1, cap=math.inf, lengths=LENGTHS, start=20.0):
    """Runs that solve a length iff they have more than start (n/8)^exponent bits; seeds differ a little."""
    for seed in range(seeds):
        draw = np.random.default_rng([seed, 3])
        for length in lengths:
            need = math.log(start) + exponent * math.log(length / 8) + draw.normal(0, noise)
            for bits in BITS:
                if bits <= cap:
                    accuracy = 0.999 if math.log(bits) >= need else 0.7
                    yield row(
                        f"gru-{seed}",
                        accuracy,
                        length=length,
                        seed=seed,
                        bits_per_number=bits / 16,
                        state_bits=float(bits),
                    )
        yield row(f"gru-{seed}", 0.99, split="validation", seed=seed)


GROWS = {
    "sentence": "The state grows.", "source": "S6", "statistic": {"exponent": {"resource": "state bits"}},
    "supported_if": "> 0.5", "refuted_if": "< 0.2",
}  # fmt: skip
PASSES = {
    "name": "the witness passes", "statistic": {"exact": {"table": "witness", "column": "accuracy", "over": "min"}},
    "holds_if": "> 0.999", "otherwise": "no weights are known", "guards": ["refuted"], "witness": True,
}  # fmt: skip
WITNESS = {"witness": pd.DataFrame({"length": [16, 64], "accuracy": [1.0, 1.0]})}
FAILS = {"witness": pd.DataFrame({"length": [16, 64], "accuracy": [1.0, 0.6]})}


def evidence(rows, tables=(), items=lambda row: None):
    return Evidence("a_study", "small", pd.DataFrame(list(rows)), dict(tables), items)


def verdict(rows, claim=GROWS, tables=(), items=lambda row: None, **changed):
    return judge(Claim.of("C7", "a_study", {**claim, **changed}), evidence(rows, tables, items))


def leaking():
    rows = list(needing(0.0))
    return [r | {"state_bits": 3.0} if r["run"] == "gru-1" and r.get("accuracy") == 0.999 else r for r in rows]


def one_rate(edge):
    rates = (1e-4, 1e-3, 1e-2)
    best = rates[-1] if edge else rates[1]
    for rate in rates:
        for r in needing(0.0):
            accuracy = 0.99 if rate == best else 0.6
            changed = {"run": f"{r['run'][:-2]}{rate}-{r['seed']}", "train.learning_rate": rate}
            yield r | changed | ({"accuracy": accuracy} if r["split"] == "validation" else {})


CASES = {
    "supported": (needing(0.9), {}, "supported", "> 0.5"),
    "refuted": (needing(0.0), {}, "refuted", "< 0.2"),
    "refuted, the witness passes": (needing(0.0), {"controls": [PASSES], "tables": WITNESS}, "refuted", "< 0.2"),
    "the witness fails": (needing(0.0), {"controls": [PASSES], "tables": FAILS}, "undecided", "no weights are known"),
    "the witness guards nothing else": (needing(0.9), {"controls": [PASSES], "tables": FAILS}, "supported", "> 0.5"),
    "the witness was not measured": (needing(0.0), {"controls": [PASSES]}, "undecided", "no weights are known"),
    "it straddles": (needing(0.35, noise=0.3), {}, "undecided", "interval straddles"),
    "too few seeds": (needing(0.0, seeds=2), {}, "undecided", "too few seeds: 2 of 3"),
    "too few lengths": (needing(0.0, lengths=LENGTHS[:4]), {}, "undecided", "fewer than 5 lengths"),
    "edge of the rates": (one_rate(edge=True), {}, "undecided", "edge of the learning-rate grid"),
    "an inner rate": (one_rate(edge=False), {}, "refuted", "< 0.2"),
    "edge of the resource": (needing(0.0, start=2.0), {}, "undecided", "edge of grid"),
    "leak": (leaking(), {}, "leak suspected", "gru-1"),
    "all runs failed": (
        [row(f"gru-{s}", 0, seed=s, status="FAILED") for s in range(3)],
        {},
        "undecided",
        "no run came",
    ),
    "nothing was run": ([], {}, "undecided", "no run of it can be read"),
    "not here yet": ([], {"missing": "loops are not here yet"}, "not here yet", "loops"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_what_the_law_of_the_rows_makes_it(case):
    rows, settings, word, reason = CASES[case]
    found = verdict(rows, **settings)
    assert (found.word, reason in found.reason) == (word, True), found.reason


def test_without_evidence_it_says_how_to_get_some():
    found = judge(Claim.of("C7", "a_study", GROWS), None)
    assert (found.word, found.reason) == ("undecided", "not run: python -m harness study=a_study")


def test_a_gpu_that_is_needed_is_named():
    found = judge(Claim.of("C7", "a_study", GROWS | {"needs": "a GPU"}), None)
    assert "needs a GPU" in found.reason


def test_the_number_is_the_exponent_that_was_put_in():
    found = verdict(needing(0.9))
    assert found.low < 0.9 < found.high
    assert found.high - found.low < 0.4
    assert set(found.runs) == {"gru-0", "gru-1", "gru-2"}


def test_a_run_at_the_bound_is_no_leak():
    rows = [r | {"least_state_bits": 8.0} for r in needing(0.0, start=8.5)]
    assert verdict(rows).word != "leak suspected"


def test_what_carries_no_state_is_no_recurrence_and_no_leak():
    rows = [r | {"state_bits": 0.0} if r.get("length") == 8 else r for r in needing(0.0)]
    assert verdict(rows).word != "leak suspected"


LADDERS = {
    "learned": (0.999, 512.0, WITNESS),
    "can express, did not learn": (0.6, 512.0, WITNESS),
    "cannot express": (0.6, 4.0, FAILS),
    "did not learn, whether it can express it is open": (0.6, 512.0, FAILS),
}


@pytest.mark.parametrize("step", LADDERS)
def test_the_ladder_words_the_verdict(step):
    accuracy, bits, tables = LADDERS[step]
    rows = [row(f"gru-{s}", accuracy, seed=s, state_bits=bits) for s in range(3)]
    claim = {**GROWS, "statistic": {"accuracy": {}}, "controls": [{**PASSES, "guards": []}]}
    assert verdict(rows, claim, tables).ladder == step


def two_sides(left, right, seeds=3, noise=0.0, **more):
    draw = np.random.default_rng(1)
    for name, accuracy in (("prefix", left), ("causal", right)):
        for seed in range(seeds):
            found = float(np.clip(accuracy + draw.normal(0, noise), 0, 1))
            yield row(f"{name}-{seed}", found, seed=seed, attention=name, **more)


CLOSE = {"noise": 0.004, "examples": 40_000}  # so many items tell that two sides are as good
GAP = {
    "sentence": "The prefix is better.", "source": "S3", "supported_if": "> 0.1", "refuted_if": "< 0.02",
    "statistic": {"gap": {"left": ["attention=prefix"], "right": ["attention=causal"], "each": ["task"]}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "over", "word"),
    [
        ([*two_sides(0.9, 0.6, noise=0.01)], "all", "supported"),
        ([*two_sides(0.7, 0.7, **CLOSE)], "all", "refuted"),
        ([*two_sides(0.76, 0.7, noise=0.01)], "all", "undecided"),
        (
            [*two_sides(0.9, 0.6, noise=0.01), *two_sides(0.7, 0.7, **CLOSE, task="words")],
            "any",
            "supported",
        ),
        (
            [*two_sides(0.9, 0.6, noise=0.01), *two_sides(0.7, 0.7, **CLOSE, task="words")],
            "all",
            "refuted",
        ),
        ([*two_sides(0.9, 0.6, noise=0.01), *two_sides(0.7, 0.7, seeds=2, task="words")], "all", "undecided"),
    ],
)
def test_several_cells_are_taken_together(rows, over, word):
    rows = [r | {"run": f"{r['task']}-{r['run']}"} for r in rows]
    found = verdict(rows, GAP, over=over)
    assert found.word == word, found.reason


def test_items_that_are_shared_are_paired():
    """Seeds differ far more than the two sides do: only pairs can tell the sides apart."""
    draw, kept = np.random.default_rng(2), {}
    rows = []
    for seed, base in enumerate((0.55, 0.7, 0.85)):
        right = draw.random(EXAMPLES) < base
        left = right | (draw.random(EXAMPLES) < 0.4)
        for name, items in (("prefix", left), ("causal", right)):
            kept[f"{name}-{seed}"] = items
            rows.append(row(f"{name}-{seed}", items.mean(), seed=seed, attention=name))
    found = verdict(rows, GAP, items=lambda row: kept[row["run"]])
    (cell,) = found.cells
    assert cell.estimate.unit == "seeds"
    means = [kept[f"prefix-{s}"].mean() - kept[f"causal-{s}"].mean() for s in range(3)]
    assert found.value == pytest.approx(np.mean(means))


def test_shift_counts_steps_of_the_grid():
    def reach(name, places):
        for seed, place in enumerate(places):
            for at, length in enumerate(LENGTHS):
                yield row(f"{name}-{seed}", 0.99 if at <= place else 0.6, length=length, seed=seed, attention=name)

    claim = {
        "sentence": "It moves n* by less than one step.", "source": "S1", "supported_if": "< 1", "refuted_if": "> 1.5",
        "statistic": {"shift": {"left": ["attention=two"], "right": ["attention=one"], "absolute": True}},
    }  # fmt: skip
    assert verdict([*reach("two", [3] * 5), *reach("one", [3] * 5)], claim).word == "supported"
    assert verdict([*reach("two", [0, 1, 0, 1, 0]), *reach("one", [4, 4, 4, 4, 4])], claim).word == "refuted"
    assert verdict([*reach("two", [1, 5, 3, 2, 4]), *reach("one", [4, 1, 3, 5, 2])], claim).word == "undecided"
    top = verdict([*reach("two", [6] * 5), *reach("one", [6] * 5)], claim)
    assert (top.word, "edge of grid" in top.reason) == ("undecided", True)


def test_exact_tables_decide_without_seeds():
    claim = {
        "sentence": "Both are one map.", "source": "S2", "supported_if": "< 1e-4", "refuted_if": "> 1e-3",
        "statistic": {"exact": {"table": "decoding", "column": "difference", "each": ["variant"]}},
    }  # fmt: skip
    tables = {"decoding": pd.DataFrame({"variant": ["softmax", "linear"], "difference": [1e-6, 3e-6]})}
    assert verdict([], claim, tables).word == "supported"
    tables["decoding"].loc[1, "difference"] = 0.1
    found = verdict([], claim, tables)
    assert (found.word, found.reason.startswith("linear")) == ("refuted", True)


def test_slopes_of_tables_are_exponents():
    lengths = [64, 96, 128, 192, 256]
    rank = pd.DataFrame(
        {"length": lengths * 2, "rank": [n / 3 for n in lengths] + [10] * 5, "bound": [6] * 5 + [1] * 5}
    )
    claim = {
        "sentence": "It grows.", "source": "S4", "supported_if": "> 0.6", "refuted_if": "< 0.3",
        "statistic": {"slope": {"table": "rank", "x": "length", "y": "rank", "where": ["bound=6"]}},
    }  # fmt: skip
    assert verdict([], claim, {"rank": rank}).word == "supported"
    claim["statistic"]["slope"]["where"] = ["bound=1"]
    assert verdict([], claim, {"rank": rank}).word == "refuted"


def test_the_rate_is_chosen_on_validation_never_on_test():
    rows = []
    for rate, validation, test in ((1e-4, 0.6, 0.9), (1e-3, 0.9, 0.6), (1e-2, 0.7, 0.99)):
        for seed in range(3):
            rows.append(row(f"r{rate}-{seed}", test, seed=seed, rate=rate))
            rows.append(row(f"r{rate}-{seed}", validation, seed=seed, rate=rate, split="validation"))
    found = tuned(pd.DataFrame(rows))
    assert set(found["train.learning_rate"]) == {1e-3}
    assert set(found["edge"]) == {""}


def test_a_rate_whose_runs_all_diverged_is_not_chosen_and_counts_as_tried():
    rows = [row(f"a-{seed}", 0.9, seed=seed, split=split) for seed in range(3) for split in ("boundary", "validation")]
    rows += [row(f"b-{seed}", 0, seed=seed, rate=1e-1, status="DIVERGED") for seed in range(3)]
    found = tuned(pd.DataFrame(rows))
    assert set(found["run"]) == {"a-0", "a-1", "a-2"}
    assert set(found["edge"]) == {"gru none"}


def test_a_damaged_run_is_no_failure_and_stays_among_the_chosen():
    rows = [row(f"a-{seed}", 0.99, seed=seed, split=split) for seed in range(8) for split in ("boundary", "validation")]
    damaged = {"run": "x", "arm": "state", "status": "CORRUPT", "reason": "x/run.json is not JSON"}
    claim = {
        "sentence": "Most solve it.", "source": "S6", "supported_if": "> 0.6", "refuted_if": "< 0.5",
        "statistic": {"solving": {"where": ["arm=state"]}},
    }  # fmt: skip
    assert repr(verdict([*rows, damaged], claim)) == repr(verdict(rows, claim))
    assert verdict(rows, claim).word == "supported"
    failed = [row(f"b-{seed}", 0, seed=seed, status="FAILED", **{"model.width": 8}) for seed in range(8)]
    assert verdict([*rows, *failed], claim).word != "supported"
    found = tuned(pd.DataFrame([*rows, damaged]))
    assert found[["run", "edge"]].iloc[-1].tolist() == ["x", ""]


def test_the_edge_of_a_grid_blocks_its_own_cell_and_no_other():
    rows = []
    for name, best in (("inner", 1e-3), ("outer", 1e-2)):
        for rate in (1e-4, 1e-3, 1e-2):
            for seed in range(3):
                about = {"seed": seed, "rate": rate, "attention": name}
                rows.append(row(f"{name}-{rate}-{seed}", 0.9, **about))
                rows.append(row(f"{name}-{rate}-{seed}", 0.9 if rate == best else 0.6, split="validation", **about))
    claim = {
        "sentence": "It passes.", "source": "S6", "supported_if": "> 0.6", "refuted_if": "< 0.5",
        "statistic": {"accuracy": {"each": ["attention"]}},
    }  # fmt: skip
    inner, outer = verdict(rows, claim).cells
    assert inner.reasons == ()
    assert outer.reasons == ("edge of the learning-rate grid: outer none",)


def test_a_gap_without_items_is_no_narrower_than_items_allow():
    """Three seeds that agree exactly do not know their spread."""
    rows = [
        row(f"{name}-{seed}", accuracy, seed=seed, attention=name, split=split) | {"token_accuracy": accuracy}
        for name, accuracy in (("softmax", 0.9), ("gru", 0.9))
        for seed in range(3)
        for split in ("boundary", "validation")
    ]
    claim = {
        "sentence": "One is better.", "source": "S6", "supported_if": "> 0.1", "refuted_if": "< 0.001",
        "statistic": {
            "gap": {"left": ["attention=softmax"], "right": ["attention=gru"], "measure": "token_accuracy"}
        },
    }  # fmt: skip
    found = verdict(rows, claim)
    assert (found.word, found.value) == ("undecided", 0)
    assert found.low < -0.01 < 0.01 < found.high


def test_the_ledger_names_every_claim_and_escapes_its_cells():
    found = [verdict(needing(0.0)), verdict(needing(0.9), sentence="a | b grows")]
    text, page = ledger.table(found), ledger.markdown(found)
    assert "1 refuted" in text
    assert "a \\| b grows" in page
    assert page.count("\n| C7 |") == 2
    explained = ledger.explained(found[0], "ROWS", ["a.png"])
    for part in ("supported if > 0.5", "ROWS", "a.png", "gru-2"):
        assert part in explained
