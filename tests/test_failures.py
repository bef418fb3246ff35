"""Runs that failed, are under way or damaged, models stopped by force: counted where they belong, averaged nowhere."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from harness import judge
from harness.report import budgets, compare, figures, page, scaling, summary
from harness.report.claims import LADDER
from harness.report.evidence import Evidence, tuned
from harness.report.select import Undrawable, complete, select
from tests.test_claims import row, verdict
from tests.test_figures import looped, note
from tests.test_report import labels, rows, runs

CLAIM = {"sentence": "It is so.", "source": "S6", "supported_if": "> 0.6", "refuted_if": "< 0.5"}
FAR = {"supported_if": "> 0.1", "refuted_if": "< 0.02"}
GAP = {"gap": {"left": ["attention=gru"], "right": ["attention=softmax"]}}
EACH = {"gap": {**GAP["gap"], "each": ["task"]}}
SHIFT = {"shift": {"left": ["attention=gru"], "right": ["attention=softmax"], "absolute": True}}
SIGNED = {"gap": {"left": ["attention.sign=1"], "right": ["attention.sign=0"], "where": ["arm=parity"]}}
TABLE = {"t": pd.DataFrame({"variant": ["a", "b"], "difference": [1e-6, None]})}
DAMAGED = {"status": "CORRUPT", "reason": "its file is gone"}


def of(name, accuracy, seeds=3, start=0, **more):
    return [row(f"{name}-{seed}", accuracy, seed=seed, **more) for seed in range(start, start + seeds)]


def reaching(name, longest, seeds=5, **more):
    """Runs that solve the lengths 8, 16 and 32 up to the longest of them that they can."""
    return [r for n in (8, 16, 32) for r in of(name, 0.99 if n <= longest else 0.6, seeds, length=n, **more)]


def everywhere(missing):
    """Two sides on three tasks, but for one of them."""
    sides = {"gru": 0.95, "softmax": 0.6}
    return [
        r
        for task in "abc"
        for side, accuracy in sides.items()
        if (task, side) != ("c", missing)
        for r in of(task + side, accuracy, attention=side, task=task)
    ]


def partly(**more):
    """Three runs that are wrong at the longest length, and nine that ran out of memory before they were asked there."""
    three = [r for n, a in ((8, 0.99), (128, 0.6)) for r in of("g", a, length=n)]
    nine = [r | {"status": "OOM"} for r in of("h", 0.99, 9, start=3, **more)]
    return three + nine


UNDECIDED = {
    "a side of which two seeds of three failed": (
        GAP, FAR, [*of("s", 0.7, attention="softmax"), *of("g", 0.99, 1), *of("g", 0, 2, 1, status="DIVERGED")],
        "too few seeds: 1 of 3; 2 of 3 runs have no scores"),
    "a mean over those that came through": (
        {"accuracy": {}}, {}, [*of("g", 0.99), *of("g", 0, 7, 3, status="DIVERGED")], "7 of 10 runs have no scores"),
    "one seed in common": (
        GAP, FAR, [*of("g", 0.99), *of("s", 0.7, start=2, attention="softmax")], "too few seeds in common: 1 of 3"),
    "no length in common": (
        GAP, FAR, [*of("g", 0.99, length=8), *of("s", 0.7, length=16, attention="softmax")], "no length in common"),
    "a cell without a left side": (EACH, FAR, everywhere("gru"), "no run of one side can be read (c)"),
    "a cell without a right side": (EACH, FAR, everywhere("softmax"), "no run of one side can be read (c)"),
    "runs under way": (
        {"solving": {}}, {}, [*of("g", 0.99), *of("g", 0, 17, 3, status="RUNNING")], "17 of 20 runs are unfinished"),
    "a half evaluation": (
        {"solving": {"length": "longest"}}, {"supported_if": "> 0.5", "refuted_if": "< 0.1"}, partly(), "0 [0, 0.242]"),
    "validation alone": (
        {"solving": {"length": 8}}, {"supported_if": "> 0.6", "refuted_if": "< 0.05"}, partly(split="validation"),
        "0.25 ["),
    "an empty cell of a table": (
        {"exact": {"table": "t", "column": "difference", "over": "max"}},
        {"supported_if": "< 1e-4", "refuted_if": "> 1e-3"}, [], "1 of 2 cells are empty"),
    "an arm that is damaged as a whole": (
        SIGNED, FAR, [*of("m", 0.97, arm="majority"), *({"run": f"p{s}", "arm": "parity"} | DAMAGED for s in range(3))],
        "of the 6 runs of the study 3 cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDECIDED)
def test_nothing_is_decided_by(case):
    statistic, settings, found, reason = UNDECIDED[case]
    said = verdict(found, CLAIM | settings | {"statistic": statistic}, TABLE)
    assert (said.word, reason in said.reason) == ("undecided", True), (said.word, said.reason)


def test_recipes_of_one_seed_are_no_seeds():
    pooled = [r for width in (8, 16, 32) for r in of(f"w{width}", 0.9 + width / 1000, 5, **{"model.width": width})]
    (cell,) = verdict(pooled, CLAIM | {"statistic": {"accuracy": {}}}).cells
    assert (cell.over, cell.estimate.value) == ("5 seeds", pytest.approx(0.9 + 56 / 3000))


def test_without_what_is_missing_the_same_is_decided():
    full = [*of("s", 0.7, attention="softmax"), *of("g", 0.99)]
    assert verdict(full, CLAIM | FAR | {"statistic": GAP}).word == "supported"
    both = [*everywhere(""), *[]]
    assert verdict(both, CLAIM | FAR | {"statistic": EACH}).word == "supported"


def test_a_seed_that_failed_shifts_to_before_the_first_length():
    sides = [*reaching("s", 16, attention="softmax"), *reaching("g", 16, 2)]
    claim = CLAIM | {"statistic": SHIFT, "supported_if": "< 1", "refuted_if": "> 5"}
    assert verdict([*sides, *reaching("g", 16, 5)[6:]], claim).word == "supported"
    found = verdict([*sides, *of("g", 0, 3, 2, status="DIVERGED")], claim)
    assert (found.word, found.value) == ("undecided", pytest.approx(3 * 2 / 5))


def test_the_ladder_is_climbed_by_models_as_they_were_trained():
    forced = [*of("g", 0.6, steps=8, steps_trained=8), *of("g", 0.99, steps=0, steps_trained=8)]
    squeezed = [*of("g", 0.6), *of("g", 0.99, bits_per_number=2, state_bits=32.0)]
    for found in (forced, squeezed):
        claim = CLAIM | {"statistic": {"accuracy": {}}, "supported_if": "> 0.9", "refuted_if": "< 0.8"}
        assert verdict(found, claim).ladder == LADDER[3]


# which learning rate ------------------------------------------------------------------------------------------------


def rated(best, dtype="float32", **status):
    """Three rates in three seeds, of which validation finds this one best."""
    for rate in (1e-3, 3e-3, 1e-2):
        for seed in range(3):
            about = {
                "seed": seed,
                "rate": rate,
                "status": status.get(f"seed{seed}", "DONE") if rate == best else "DONE",
            }
            for split, accuracy in (("boundary", 0.97), ("validation", 0.95 if rate == best else 0.7)):
                yield row(f"{dtype}{rate}-{seed}", accuracy, split=split, **about) | {"dtype": dtype}


def rate_of(found):
    return set(found["train.learning_rate"])


def test_a_run_under_way_moves_no_rate():
    assert rate_of(tuned(pd.DataFrame(rated(3e-3)))) == {3e-3}
    assert rate_of(tuned(pd.DataFrame(rated(3e-3, seed2="RUNNING")))) == {3e-3}
    assert rate_of(tuned(pd.DataFrame(rated(3e-3, seed1="FAILED", seed2="FAILED")))) != {3e-3}, "a failed one counts 0"


def test_each_dtype_has_a_rate_of_its_own():
    found = tuned(pd.DataFrame([*rated(1e-2), *rated(1e-3, "bfloat16")]))
    assert rate_of(found[found["dtype"] == "float32"]) == {1e-2}
    assert rate_of(found[found["dtype"] == "bfloat16"]) == {1e-3}


def test_a_condition_on_scores_moves_no_rate():
    found = []
    for rate, short, long, accuracy in ((1e-3, 0.9, 0.9, 0.97), (3e-3, 0.2, 0.95, 0.5), (1e-2, 0.1, 0.1, 0.1)):
        for length, checked in ((8, short), (32, long)):
            found += of(f"g{rate}", checked, length=length, split="validation", rate=rate)
            found += of(f"g{rate}", accuracy, length=length, rate=rate)
    there = Evidence("a", "small", pd.DataFrame(found))
    assert rate_of(there.chosen(["length=32"], tune=True)) == rate_of(there.chosen([], tune=True)) == {1e-3}


def test_equal_budgets_are_not_compared_at_a_rate_that_nothing_chose():
    found = pd.DataFrame([*rated(3e-3), *(r | {"attention": "linear", "run": "l" + r["run"]} for r in rated(3e-3))])
    found = found.assign(parameters=1000, recipe=found["run"].str[:-2])
    table = budgets.matched(found, "parameters")
    assert table["note"].str.contains("validation chose another").sum() == 4
    with pytest.raises(ValueError, match="learning rates are chosen on validation"):
        budgets.matched(found[found["split"] != "validation"], "parameters")


# tables and pages ---------------------------------------------------------------------------------------------------


def by_hand():
    """Two trained seeds, one that diverged, and weights that were set by hand, which only scores tell of."""
    trained = rows(runs(seeds=3)).assign(weights="trained", accuracy=0.99)
    lost = rows(runs(seeds=3, status="DIVERGED"))
    hand = rows(runs("linear", seeds=1)).assign(weights="constructed")
    return pd.concat([trained[trained["seed"] < 2], lost[lost["seed"] == 2], hand], ignore_index=True)


def test_a_run_that_failed_stands_with_its_recipe_where_only_scores_tell_what_varies():
    table = compare.table(by_hand())
    assert table[["weights", "done", "diverged"]].values.tolist() == [["trained", 2, 1], ["constructed", 1, 0]]
    assert set(select(by_hand(), ["weights=trained"])["status"]) == {"DONE", "DIVERGED"}
    drawn = figures.phase_map(by_hand(), x="model.layers", y="task.alpha")
    assert [text.get_text() for axis in drawn.axes for text in axis.texts] == ["2/3", "0/1"]
    shares = figures.success_over_rate(by_hand()).axes[0].lines
    assert shares[0].get_ydata().tolist() == [2 / 3]


def test_a_run_that_failed_counts_once_where_a_run_has_one_score():
    long, short = rows(runs(seeds=3, settings={"task.dim": 2})), rows(runs(seeds=3, settings={"task.dim": 3}))
    short["in_range"] = short["length"] <= 16
    lost = rows(runs(seeds=3, settings={"task.dim": 4}, status="DIVERGED"))
    drawn = figures.phase_map(pd.concat([long, short, lost], ignore_index=True), x="model.layers", y="task.dim")
    assert {text.get_text() for axis in drawn.axes for text in axis.texts} <= {"0/3", "1/3", "2/3", "3/3"}


def test_a_run_that_failed_as_it_was_evaluated_is_no_run_that_solves():
    whole = rows(runs(seeds=3)).assign(accuracy=0.99)
    checked = whole[whole["in_range"] & (whole["split"] == "broad")].assign(split="validation")
    lost = checked[checked["seed"] == 2].assign(status="OOM")
    found = pd.concat([whole[whole["seed"] < 2], checked[checked["seed"] < 2], lost], ignore_index=True)
    drawn = figures.phase_map(found, x="model.layers", y="task.alpha")
    assert [text.get_text() for text in drawn.axes[0].texts] == ["2/3"]
    kept = select(found, ["split=boundary"])
    assert (kept[kept["status"] == "OOM"]["run"].nunique(), set(kept["split"].dropna())) == (1, {"boundary"})
    assert "1 of 3 runs out of memory" in note(figures.accuracy_against_length(kept))


def test_two_code_versions_of_one_recipe_have_no_interval_together():
    one = rows(runs())
    other = one.assign(**{"version.attention": 2, "run": one["run"] + "v2", "accuracy": one["accuracy"] - 0.3})
    assert compare.table(one, ["attention"])["boundary_low"].notna().all()
    mixed = compare.table(pd.concat([one, other], ignore_index=True), ["attention"], allow_mixed=True)
    assert mixed["boundary_low"].isna().all()


def test_the_page_tells_the_scores_of_models_that_were_not_stopped():
    found = looped()
    (group,) = page._groups(complete(found[found["attention"] == "softmax"].reset_index(drop=True)))
    longest = found[found["in_range"].eq(True) & found["forced_loops"].isna() & (found["attention"] == "softmax")]
    longest = longest[(longest["length"] == longest["length"].max()) & (longest["split"] == "boundary")]
    own = longest.set_index("seed")["accuracy"]
    told = {one["seed"]: one["boundary"].split()[0] for one in group.runs}
    assert told == {seed: f"{accuracy:.3f}".lstrip("0") for seed, accuracy in own.items()}


def test_the_state_in_theory_s_sentence_is_that_of_the_trained_steps():
    found = rows(runs("softmax", "full", 1, forced=True))
    facts = SimpleNamespace(bound="n", source="s", condition="")
    task = SimpleNamespace(theory=SimpleNamespace(time=facts, steps=facts), classes=lambda: None)
    own = found[(found["length"] == 128) & (found["steps"] == found["steps_trained"])]["state_bytes"].iloc[0]
    assert f"carries {8 * own:,} bits at length 128" in summary.theory("pairwise", task, found)


# figures ------------------------------------------------------------------------------------------------------------


def test_loops_are_drawn_of_models_that_take_the_steps_they_were_trained_on():
    halts = {"model.halting": "ponder", "model.loops": 6}
    found = rows(runs("softmax", "full", 3, halts, forced=True))
    found = found[found["length"] == 16].assign(loops=6, loops_trained=6, loops_used=3.0, forced_loops=np.nan)
    found.loc[found["steps"] < found["steps_trained"], "loops_used"] = 1.0
    forced = [found.assign(forced_loops=k, loops=k, loops_used=k) for k in (1, 2, 4)]
    trained = found[(found["steps"] == found["steps_trained"]) & (found["split"] == "boundary")]
    drawn = figures.accuracy_against_loops(pd.concat([found, *forced], ignore_index=True)).axes[0]
    (star,) = (line.get_ydata()[0] for line in drawn.lines if line.get_marker() == "*")
    assert star == pytest.approx(trained["accuracy"].mean())
    assert list(figures.loops_used(found).axes[0].lines[0].get_ydata()) == [3.0]


@pytest.mark.parametrize("draw", ["length", "steps", "state"])
def test_each_chance_is_a_level_of_its_own(draw):
    easy, hard = runs(seeds=1, settings={"task.alpha": 3}), runs(seeds=1, settings={"task.alpha": 5})
    found = pd.concat([rows(easy), rows(hard).assign(chance=0.2)], ignore_index=True)
    axis = getattr(figures, f"accuracy_against_{draw}")(found).axes[0]
    levels = [set(line.get_ydata()) for line in axis.lines if line.get_label() == "chance"]
    assert sorted(levels, key=min) == [{0.2}, {0.5}]


def test_a_study_s_figure_that_has_nothing_to_show_yet_is_left_out():
    checked = rows(runs(seeds=2)).assign(split="validation", arm="a", update=10, loss=np.nan)
    there = Evidence("learners", "small", checked)
    assert list(judge.pictures(there)) == []
    with pytest.raises(Undrawable, match="has logged an update"):
        figures.learning_curves(pd.DataFrame())
    assert "pairwise-accuracy_against_length" not in [one.name for one in judge.task_pictures(checked)]


def test_a_damaged_run_is_no_group_of_a_law():
    found = pd.DataFrame([*reaching("g", 16), {"run": "x", "arm": "state"} | DAMAGED])
    said = {"draw": "required_resource", "resource": "width", "caption": ""}
    whole, hurt = (judge._drawn(Evidence("a", "small", part), said) for part in (found.iloc[:-1], found))
    assert labels(hurt) == labels(whole)


def test_seeds_that_disagree_at_the_only_value_give_no_number_beyond_it():
    found = [r | {"model.width": 16} for n in (8, 16) for r in of("w", 0.99, length=n)]
    found[-1]["accuracy"] = 0.6
    points = scaling.required(pd.DataFrame(found), "width")
    assert points["censored"].tolist() == ["left", "left"]
    assert points["estimate"].tolist() == pytest.approx([math.log(16)] * 2)
    found[-2]["accuracy"] = 0.6
    points = scaling.required(pd.DataFrame(found), "width")
    assert points["censored"].tolist() == ["left", "right"]
    assert np.isfinite(points["estimate"]).all()
