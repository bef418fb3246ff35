"""Comparison at equal budgets: who is matched with whom, at what, and how far apart they are."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from harness.report import compare
from harness.report.budgets import BUDGETS, matched
from harness.report.stats import holm, paired

EXAMPLES = 400
SPLITS = ("boundary", "broad")


def right(row, salt=0):
    """Which test items are right: as many as the row's accuracy says, by (seed, split, length) and variant."""
    draw = np.random.default_rng([int(row["seed"]), int(row["length"]), len(row["split"]), len(row["attention"]), salt])
    return draw.permutation(EXAMPLES) < round(row["accuracy"] * EXAMPLES)


def runs(attention, scratchpad="none", seeds=(0, 1, 2), accuracy=0.8, lengths=(8, 16, 32), status="DONE", **more):
    """Rows as `store.read` gives them. By default 1000 parameters, 64 bits of state for each token, a full training."""
    settings = {"task.alpha": 24, "train.learning_rate": 0.003, "model.width": 16}
    settings |= {key: value for key, value in more.items() if "." in key}
    settings |= {"scratchpad.scale": 1.0 if scratchpad == "full" else 0.0}
    costs = {"parameters": 1000, "train_flops": 1e9} | {key: value for key, value in more.items() if "." not in key}
    recipe = "-".join(map(str, (attention, scratchpad, *settings.values(), costs["parameters"])))
    for seed in seeds:
        about = {
            "run": f"{recipe}-{seed}", "recipe": recipe, "status": status, "task": "pairwise", "attention": attention,
            "scratchpad": scratchpad, "seed": seed, "version.task": 1, **settings,
        }  # fmt: skip
        if status != "DONE":
            yield about
            continue
        for length, split in itertools.product((*lengths, 64), (*SPLITS, "validation")):
            steps = length if scratchpad == "full" else 0
            score = accuracy + 0.01 * ((seed * 7 + length + len(split)) % 5 - 2)
            yield about | {
                "split": split, "length": length, "in_range": length in lengths, "steps": steps, "examples": EXAMPLES,
                "steps_trained": steps, "stop": "budget", "accuracy": score, "accuracy_low": score - 0.03,
                "accuracy_high": score + 0.03, "chance": 0.5, "state_bytes": 8 * (length + steps),
                "prompt_flops": 1e4 * length, "decode_flops": 1e4 * (1 + steps), **costs,
            }  # fmt: skip


def rows(*groups):
    return pd.DataFrame([row for group in groups for row in group])


def pairs(table):
    return {(left, right) for left, right in zip(table["left"], table["right"], strict=True) if isinstance(right, str)}


def notes(table):
    return dict(zip(table["left"], table["note"], strict=True))


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("tolerance", [0, 0.1, 0.5, 3])
def test_every_pair_is_within_the_budget_and_nobody_is_dropped(budget, tolerance):
    draw = np.random.default_rng(3)
    groups = []
    for attention, scratchpad in itertools.product(("softmax", "gru", "linear", "window"), ("none", "full")):
        costs = {"parameters": int(draw.integers(900, 1300)), "train_flops": float(draw.integers(900, 1300))}
        groups.append(runs(attention, scratchpad, seeds=(0,), **costs))
    data = rows(*groups)
    table = matched(data, budget, tolerance)
    told = {*table["left"], *table["right"].dropna()}
    assert len(told) == data["recipe"].nunique()
    of_pairs = table[table["right"].notna()]
    ends = of_pairs[[f"left_{budget}", f"right_{budget}"]]
    assert np.allclose(of_pairs["factor"], ends.max(axis=1) / ends.min(axis=1))
    assert (of_pairs["factor"] <= 1 + tolerance + 1e-9).all()
    prices = {}
    for line in table.itertuples():
        prices[line.left] = table.loc[table["left"] == line.left, f"left_{budget}"].iloc[0]
        if isinstance(line.right, str):
            prices[line.right] = getattr(line, f"right_{budget}")
    names = sorted(prices)
    wanted = {
        frozenset(pair)
        for pair in itertools.combinations(names, 2)
        if max(prices[n] for n in pair) <= min(prices[n] for n in pair) * (1 + tolerance) * (1 + 1e-12)
    }
    assert {frozenset(pair) for pair in pairs(table)} == wanted
    alone = set(table.loc[table["right"].isna(), "left"])
    assert alone == set(names) - {name for pair in wanted for name in pair}


def test_the_order_of_rows_decides_nothing():
    data = rows(runs("softmax"), runs("gru", accuracy=0.7), runs("linear", parameters=5000))
    shuffled = data.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(matched(data, "parameters"), matched(shuffled, "parameters"))


def test_reasoning_tokens_are_charged():
    data = rows(runs("softmax", "none"), runs("softmax", "full"))
    (pair,) = matched(data, "parameters").itertuples()
    assert (pair.left_parameters, pair.right_parameters, pair.factor) == (1000, 1000, 1)
    told = matched(data, "flops")
    assert told["left_flops"].tolist() == [1e4 * 33, 1e4 * 65]  # at length 32: prompt, answer, 32 steps
    assert notes(told)["softmax · none"] == "no partner within 10 %: nearest is softmax · full at 1.97x"
    told = matched(data, "state_bits")
    assert told["left_state_bits"].tolist() == [8 * 8 * 32, 8 * 8 * 64]
    assert notes(told)["softmax · full"] == "no partner within 10 %: nearest is softmax · none at 2x"
    assert matched(data, "state_bits", tolerance=1)["factor"].tolist() == [2]


def test_a_pair_is_compared_at_the_longest_length_that_both_were_trained_on():
    data = rows(runs("softmax"), runs("gru", lengths=(8, 16)))
    (pair,) = matched(data, "state_bits").itertuples()
    assert (pair.length, pair.left_state_bits, pair.right_state_bits) == (16, 1024, 1024)
    apart = matched(rows(runs("softmax", lengths=(32,)), runs("gru", lengths=(8,))), "parameters")
    assert pairs(apart) == set()
    assert all("no rival on this problem" in note for note in apart["note"])


def test_only_other_variants_and_scratchpads_on_the_same_problem_are_rivals():
    data = rows(runs("softmax"), runs("softmax", **{"model.width": 32}), runs("gru", **{"task.alpha": 5}))
    table = matched(data, "parameters")
    assert pairs(table) == set()
    assert len(table) == 3
    assert table["note"].str.contains("no rival on this problem").all()


def test_the_learning_rate_that_validation_chose_stands_for_its_cell():
    rates = [
        runs("softmax", accuracy=a, **{"train.learning_rate": r}) for r, a in ((1e-3, 0.6), (3e-3, 0.9), (1e-2, 0.7))
    ]
    table = matched(rows(*rates, runs("gru")), "parameters")
    assert pairs(table) == {("softmax · none · learning_rate=0.003", "gru · none · learning_rate=0.003")}
    said = notes(table)
    for rate in ("0.001", "0.01"):
        label = f"softmax · none · learning_rate={rate}"
        assert said[label] == f"validation chose another learning rate than {rate}"
    two = [runs("softmax", accuracy=a, **{"train.learning_rate": r}) for r, a in ((1e-3, 0.9), (3e-3, 0.6))]
    edge = matched(rows(*two, runs("gru")), "parameters")
    said = "softmax · none · learning_rate=0.001: at the edge of its learning-rate grid"
    assert edge["note"].str.contains(said, regex=False).any()


def test_runs_that_did_not_end_well_are_told_beside_those_that_did():
    data = rows(
        runs("softmax", seeds=(0, 1)), runs("softmax", seeds=(2,), status="DIVERGED"), runs("gru"),
        runs("window", status="FAILED"),
    )  # fmt: skip
    table = matched(data, "parameters")
    said = notes(table)
    assert said["softmax · none"] == "softmax · none: 1 of 3 runs diverged"
    assert said["window · none"] == "no scores within the trained lengths; 3 of 3 runs failed"
    assert table["seeds"].iloc[0] == 2
    alone = matched(rows(runs("window", status="FAILED")), "flops")
    assert (len(alone), alone["right"].isna().all()) == (1, True)


def test_a_budget_that_is_not_known_is_no_budget():
    data = rows(runs("softmax", train_flops=math.nan), runs("gru"), runs("linear"))
    said = matched(data, "train_flops")
    assert pairs(said) == {("gru · none", "linear · none")}
    assert notes(said)["softmax · none"] == "its train_flops are not known"
    assert len(matched(data.drop(columns="train_flops"), "train_flops")) == 3


def test_no_state_is_as_much_as_no_state_and_less_than_any():
    data = rows(runs("softmax", state_bytes=0), runs("linformer", state_bytes=0), runs("gru", state_bytes=1))
    table = matched(data, "state_bits")
    assert pairs(table) == {("softmax · none", "linformer · none")}
    assert "no partner within 10 %" in notes(table)["gru · none"]


def test_squeezed_forced_and_repeated_rows_count_for_nothing():
    data = rows(runs("softmax"), runs("gru"))
    other = data.assign(accuracy=0.1)
    more = [other.assign(bits_per_number=2, state_bits=4), other.assign(steps=3), other.assign(split="natural"), data]
    noisy = pd.concat([data.assign(arm="one"), *more], ignore_index=True)
    pd.testing.assert_frame_equal(matched(noisy, "state_bits"), matched(data, "state_bits"))


def test_a_run_that_two_arms_share_has_the_weight_of_one():
    data = rows(runs("softmax"), runs("gru"))
    data["decode_flops"] = data["decode_flops"] * (1 + data["seed"])
    noisy = pd.concat([data.assign(arm="one"), data[data["seed"] == 2].assign(arm="two")], ignore_index=True)
    pd.testing.assert_frame_equal(matched(noisy, "flops"), matched(data, "flops"))


def test_a_model_that_stops_itself_is_compared_at_what_it_used():
    data = rows(runs("softmax", "full"), runs("gru"))
    own = data["attention"] == "softmax"
    data = data.assign(stop=data["stop"].mask(own, "self"), steps=data["steps"].mask(own))
    data["decode_flops"] = data["decode_flops"].mask(own, 3e4)
    table = matched(data, "flops")
    assert pairs(table) == {("softmax · full", "gru · none")}
    assert table["left_flops"].tolist() == [1e4 * 32 + 3e4]


@pytest.mark.parametrize("split", SPLITS)
def test_with_items_the_difference_is_the_paired_one(split):
    data = rows(runs("softmax"), runs("gru", accuracy=0.7))
    (pair,) = matched(data, "parameters", items=right).to_dict("records")
    at = data[(data["length"] == 32) & (data["split"] == split)]
    sides = [[right(row) for _, row in at[at["attention"] == name].iterrows()] for name in ("softmax", "gru")]
    found = paired(*sides)
    told = [pair[f"{split}_difference{end}"] for end in ("", "_low", "_high")]
    assert told == pytest.approx([found.value, found.low, found.high])
    assert pair["over"] == "3 seeds"
    assert pair["left"] == "softmax · none"
    assert found.value > 0


def test_fewer_items_are_the_first_of_more_and_one_side_alone_pairs_nothing():
    data = rows(runs("softmax"), runs("gru", accuracy=0.7))
    cut = matched(data, "parameters", items=lambda row: right(row)[: 200 if row["attention"] == "gru" else None])
    both = matched(data, "parameters", items=lambda row: right(row)[:200])
    pd.testing.assert_frame_equal(cut, both)
    half = matched(data, "parameters", items=lambda row: right(row) if row["attention"] == "gru" else None)
    pd.testing.assert_frame_equal(half, matched(data, "parameters"))


def test_without_items_it_is_the_difference_of_each_seed():
    data = rows(runs("softmax"), runs("gru", accuracy=0.7))
    steps = data[(data["length"] == 32) & (data["split"] == "broad")].pivot(
        index="seed", columns="attention", values="accuracy"
    )
    (pair,) = matched(data, "parameters").itertuples()
    assert pair.broad_difference == pytest.approx((steps["softmax"] - steps["gru"]).mean())
    few = matched(data[data["seed"] == 0], "parameters").iloc[0]
    assert few["over"] == f"{EXAMPLES} items"
    assert few["broad_difference_low"] < few["broad_difference"] < few["broad_difference_high"]
    blind = matched(data[data["seed"] == 0].drop(columns="examples"), "parameters").iloc[0]
    assert math.isnan(blind["broad_difference_low"])
    assert math.isnan(blind["broad_p"])


def test_seeds_that_are_not_shared_are_compared_unpaired():
    data = rows(runs("softmax", seeds=(0, 1, 2)), runs("gru", seeds=(3, 4, 5), accuracy=0.6))
    (pair,) = matched(data, "parameters", items=right).itertuples()
    assert pair.seeds == 0
    assert pair.boundary_difference == pytest.approx(0.2, abs=0.03)
    assert pair.boundary_difference_low < pair.boundary_difference < pair.boundary_difference_high


def test_seeds_that_agree_by_chance_have_the_interval_of_their_items():
    data = rows(runs("softmax"), runs("gru"))
    (pair,) = matched(data, "parameters").itertuples()
    assert pair.broad_difference == 0
    width = pair.broad_difference_high - pair.broad_difference_low
    wald = 2 * 4.303 * math.sqrt(2 * 0.8 * 0.2 / EXAMPLES / 3)  # t with two degrees of freedom
    assert width == pytest.approx(wald, rel=0.05)


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_without_a_difference_one_interval_in_twenty_misses_it(seeds):
    draw = np.random.default_rng(seeds)
    problems = range(150)
    groups = [
        runs(name, seeds=range(seeds), lengths=(32,), **{"task.alpha": problem})
        for problem, name in itertools.product(problems, ("softmax", "gru"))
    ]
    data = rows(*groups)
    spread = draw.normal(0, 0.05 * (seeds >= 3), len(data))
    data["accuracy"] = draw.binomial(EXAMPLES, np.clip(0.8 + spread, 0, 1)) / EXAMPLES
    table = matched(data, "parameters")
    assert len(table) == len(problems)
    for split in SPLITS:
        missed = (table[f"{split}_difference_low"] > 0) | (table[f"{split}_difference_high"] < 0)
        assert missed.mean() < 0.1  # 2.8 standard errors


def test_an_interval_without_zero_has_a_p_value_below_one_in_twenty():
    told = set()
    for accuracy in (0.8, 0.78, 0.75, 0.7):
        (pair,) = matched(rows(runs("softmax"), runs("gru", accuracy=accuracy)), "parameters").to_dict("records")
        outside = pair["boundary_difference_low"] > 0
        smaller = min(pair["boundary_p"], pair["broad_p"]) / 2  # as it was before Holm's procedure
        assert outside == (pair["broad_difference_low"] > 0) == (smaller <= 0.05)
        told.add(outside)
    assert told == {False, True}


def test_p_values_are_adjusted_for_every_number_of_the_table():
    two = rows(runs("softmax"), runs("gru", accuracy=0.76))
    three = pd.concat([two, rows(runs("linear", accuracy=0.79))], ignore_index=True)
    alone = matched(two, "parameters")[["boundary_p", "broad_p"]].to_numpy().ravel()
    table = matched(three, "parameters")
    every = table[["boundary_p", "broad_p"]].to_numpy()
    of_pair = table.set_index(["left", "right"]).loc[("softmax · none", "gru · none"), ["boundary_p", "broad_p"]]
    assert every.size == 6
    assert (of_pair.to_numpy(float) > alone).all()
    raw = [min(matched(two, "parameters")[f"{split}_p"].iloc[0] for split in SPLITS) / 2]
    assert min(of_pair) == pytest.approx(raw[0] * 6)
    assert holm([raw[0], 1])[0] == pytest.approx(2 * raw[0])


def test_the_table_is_printed_by_the_same_printers():
    data = rows(runs("softmax"), runs("gru", accuracy=0.6), runs("linear", parameters=5_000_000))
    table = matched(data, "parameters")
    for text in (compare.markdown(table), compare.text(table)):
        assert "In every row: task pairwise, length 32." in text
        assert "left parameters" in text
        assert "no partner within 10 %: nearest is softmax · none at 5e+03x" in text
        assert "5M" in text
        assert "boundary difference" in text
        assert "[.1" in text
    negative = matched(rows(runs("softmax", accuracy=0.6), runs("gru")), "parameters")
    assert "-.200 [-.2" in compare.markdown(negative)


@pytest.mark.parametrize(
    ("budget", "tolerance", "said"),
    [
        (
            "parameter",
            0.1,
            "budget parameter does not exist, did you mean parameters\\? There is: parameters, state_bits",
        ),
        ("flops", -0.1, "a tolerance of -0.1 is no share"),
        ("flops", math.nan, "a tolerance of nan is no share"),
        ("flops", math.inf, "a tolerance of inf is no share"),
    ],
)
def test_what_cannot_be_compared_is_refused(budget, tolerance, said):
    with pytest.raises(ValueError, match=said):
        matched(rows(runs("softmax")), budget, tolerance)


def test_nothing_and_mixed_versions_are_refused():
    with pytest.raises(ValueError, match="there are no runs"):
        matched(pd.DataFrame(), "flops")
    mixed = rows(runs("softmax"), runs("gru", **{"version.task": 2}))
    with pytest.raises(ValueError, match=r"mix version\.task 1 and 2"):
        matched(mixed, "flops")
    assert len(matched(mixed, "flops", allow_mixed=True)) == 1
