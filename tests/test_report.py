"""Intervals, labels, figures and tables as functions of rows."""

import doctest
import itertools
import math
import zlib

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from harness.report import compare, figures, stats
from harness.report import select as select_room
from harness.report.select import at_trained_steps, check_versions, lines, select, varying
from harness.report.stats import over_seeds, t_interval, wilson

LENGTHS = (4, 8, 16, 32, 64, 128)
LONGEST = 32  # trained


def runs(attention="softmax", scratchpad="none", seeds=2, settings=(), status="DONE", forced=False):
    """Rows as `store.read` gives them: `seeds` runs of one recipe, each at six lengths and three splits."""
    trace = "running_extremes" if scratchpad == "full" else ""
    every = {"task.alpha": 24, "model.width": 32, "model.layers": 2, "train.lengths": "(4, 8, 16, 32)"}
    every |= {"scratchpad.trace": trace, "attention.feature": "elu" if attention == "linear" else np.nan}
    every |= {"scratchpad.scale": np.nan, "version.task": 1, "version.attention": 1, "version.loop": 1} | dict(settings)
    recipe = f"{zlib.crc32(str((attention, scratchpad, sorted(every.items()))).encode()):08x}"
    for seed in range(seeds):
        run = {
            "run": f"{recipe}-{seed}", "status": status, "recipe": recipe, "task": "pairwise", "attention": attention,
            "scratchpad": scratchpad, "trace": trace, "layers": 2, "width": every["model.width"], "seed": seed,
            "learning_rate": 0.003, "train.learning_rate": 0.003, "parameters": 24064, **every,
        }  # fmt: skip
        if status != "DONE":  # nothing was evaluated: the settings are known by their dotted names only
            yield {name: run[name] for name in run if name not in ("trace", "layers", "width", "learning_rate")}
            continue
        for length, split in itertools.product(LENGTHS, ("boundary", "broad", "natural")):
            whole = length if scratchpad == "full" else 0
            trained = whole if math.isnan(every["scratchpad.scale"]) else round(every["scratchpad.scale"] * whole)
            for steps in sorted({trained, *((0, whole // 4, whole // 2, whole) if forced else ())}):
                reach = {"softmax": 90, "linear": 30}.get(attention, 60) * (2.5 if whole else 1)
                skill = 1 / (1 + length**2 / reach**2 / (run["width"] / 32))
                skill *= min(1, (steps + 0.1) / (0.4 * whole + 0.1))
                noise = np.random.default_rng([seed, length, steps, len(split), len(attention)]).normal(0, 0.012)
                accuracy = float(np.clip(0.5 + 0.5 * skill * (0.97 + 0.03 * (split == "broad")) + noise, 0, 1))
                low, high = wilson(round(2000 * accuracy), 2000)
                tokens = length + 3 + 2 * steps
                yield run | {
                    "split": split, "length": length, "in_range": length <= LONGEST, "steps": steps, "stop": "budget",
                    "steps_trained": trained, "scratch_tokens": 2 * steps, "accuracy": accuracy, "accuracy_low": low,
                    "accuracy_high": high, "chance": 0.5, "majority": 0.5 + 0.45 * (split == "natural"),
                    "state_bytes": {"linear": 8192, "linformer": 0}.get(attention, 256 * tokens),
                    "token_accuracy": accuracy, "answer_tokens": 1, "least_state_bits": math.log2(52),
                    "prompt_flops": 48000 * length,
                    "decode_flops": 48000 * (2 * steps + 1), "serial_steps": 2 * steps + 2,
                    "scored_pairs": tokens if attention == "linear" else tokens * (tokens + 1) // 2,
                }  # fmt: skip


def rows(*groups):
    return pd.DataFrame([row for group in groups for row in group])


def sweep(seeds=2):
    return rows(*(runs(a, s, seeds) for a in ("softmax", "linear") for s in ("none", "full")))


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def means(axis):
    """The lines of recipes: thick, with markers."""
    return [
        line for line in axis.lines if line.get_marker() not in ("", "None", ".") and line.get_linestyle() != "None"
    ]


@pytest.mark.parametrize("module", [stats, select_room])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("seeds", [3, 5])
def test_t_interval_covers_the_mean_as_often_as_it_says(seeds):
    draws = np.random.default_rng(5).normal(0.8, 0.03, (5000, seeds))
    ends = np.array([t_interval(draw) for draw in draws])
    assert 0.94 < np.mean((ends[:, 0] <= 0.8) & (ends[:, 1] >= 0.8)) < 0.96


def test_t_interval_needs_two_seeds_and_ignores_missing_ones():
    assert np.isnan(t_interval([0.7])).all()
    assert np.isnan(t_interval([0.7, math.nan])).all()
    assert t_interval([0.7, math.nan, 0.9]) == t_interval([0.7, 0.9])
    assert t_interval([1.0, 1.0, 1.0]) == (1.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (7, 7), (3, 11), (1988, 2000)])
def test_wilson_is_the_closed_formula(successes, n):
    z, p = 1.959963984540054, successes / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert wilson(successes, n) == pytest.approx((middle - half, middle + half), abs=1e-12)


def test_wilson_of_nothing_says_nothing():
    assert np.isnan(wilson(0, 0)).all()


def test_intervals_over_seeds_stay_within_zero_and_one():
    data = rows(runs("softmax", "full", 2))
    found = over_seeds(data[data["split"] == "broad"], "length")
    assert list(found.index) == list(LENGTHS)
    assert found["low"].min() >= 0
    assert found["high"].max() == 1
    single = over_seeds(data[(data["seed"] == 0) & (data["split"] == "broad")], "length")
    assert (single["low"] < single["mean"]).all()  # Wilson over items


def test_a_copy_is_listed_once_and_what_never_varies_is_not():
    assert varying(sweep()) == ["attention", "scratchpad"]
    assert varying(rows(runs(), runs(settings={"model.width": 64}))) == ["width"]


def test_two_settings_that_vary_together_are_both_named():
    confounded = rows(runs(), runs(settings={"model.width": 64, "train.updates": 900}))
    assert varying(confounded) == ["width", "train.updates"]


def test_settings_of_a_choice_are_compared_within_that_choice():
    other = rows(runs("linear", settings={"task.alpha": 5})).assign(task="other", recipe="feedbeef")
    assert varying(pd.concat([rows(runs("linear")), other])) == ["task"]


def test_recipes_that_differ_in_no_column_show_their_recipe():
    hidden = pd.concat([rows(runs()), rows(runs()).assign(recipe="feedbeef")])
    assert varying(hidden) == ["recipe"]
    assert len({line.label for line in lines(hidden)}) == 2


def test_traces_are_named_where_they_vary():
    pairs = rows(runs("linear", "full")).assign(trace="pairs", recipe="feedbeef", **{"scratchpad.trace": "pairs"})
    found = [line.label for line in lines(pd.concat([sweep(), pairs]))]
    assert found == ["softmax · none", "softmax · full running_extremes", "linear · none", "linear · full pairs",
                     "linear · full running_extremes"]  # fmt: skip


def test_select_compares_numbers_as_numbers_and_words_as_words():
    data = pd.concat([sweep(), rows(runs(settings={"model.width": 64}))])
    assert set(select(data, ["width=64.0"])["width"]) == {64}
    assert set(select(data, ["length=4,16", "attention=linear"])["length"]) == {4, 16}
    assert set(select(data, ["in_range=true"])["length"]) == {4, 8, 16, 32}
    assert len(select(data, ["train.lengths=(4, 8, 16, 32)", "learning_rate=3e-3"])) == len(data)


def test_select_keeps_runs_without_scores():
    data = rows(runs(), runs("linear", status="DIVERGED"))
    assert set(select(data, ["length=8", "split=broad"])["status"]) == {"DONE", "DIVERGED"}
    assert set(select(data, ["attention=softmax"])["status"]) == {"DONE"}
    arms = data.assign(arm=data["attention"].map({"softmax": "one", "linear": "other"}))
    assert set(select(arms, ["arm=one"])["status"]) == {"DONE"}, "a run that failed failed in its own arm"
    assert set(select(arms, ["arm=other"])["status"]) == {"DIVERGED"}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("atention=linear", "column atention does not exist, did you mean attention\\? There is: .*task.alpha"),
        ("attention=liner", "attention=liner does not exist, did you mean linear\\? There is: softmax, linear"),
        ("length=5", "length=5 does not exist. There is: 4, 8, 16, 32, 64, 128"),
        ("attention", "column=value"),
    ],
)
def test_select_refuses_what_is_not_there(condition, said):
    with pytest.raises(ValueError, match=said):
        select(sweep(), [condition])


@pytest.mark.parametrize("column", ["version.task", "version.attention", "version.loop"])
def test_mixed_versions_are_refused_unless_allowed(column):
    mixed = rows(runs(), runs(settings={column: 2}))
    for reader in (check_versions, compare.table, figures.accuracy_against_length, figures.cost_against_length):
        with pytest.raises(ValueError, match=f"mix {column} 1 and 2"):
            reader(mixed)
    assert len(compare.table(mixed, allow_mixed=True)) == 2
    found = labels(figures.accuracy_against_length(mixed, allow_mixed=True))
    assert found == [f"softmax · none · {column}=1", f"softmax · none · {column}=2"]


def test_two_variants_may_have_different_versions():
    check_versions(rows(runs(), runs("linear", settings={"version.attention": 2})))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_same_rows_same_bytes(kind):
    first, again = (figures.render(figures.accuracy_against_length(sweep()), kind) for _ in range(2))
    assert first == again
    assert first != figures.render(figures.accuracy_against_length(sweep(3)), kind)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="png, svg, pdf"):
        figures.render(figures.cost_against_length(sweep()), "bmp")


@pytest.mark.parametrize("draw", [figures.accuracy_against_length, figures.cost_against_length])
def test_a_sweep_of_two_by_two_is_four_lines(draw):
    figure = draw(sweep())
    assert labels(figure) == ["softmax · none", "softmax · full", "linear · none", "linear · full"]
    for axis in figure.axes:
        looks = {(to_hex(line.get_color()), line.get_marker(), str(line._dash_pattern)) for line in means(axis)}
        assert len(means(axis)) == len(looks) == 4


def test_recipes_that_differ_in_one_setting_get_lines_of_their_own():
    figure = figures.accuracy_against_length(rows(runs(), runs(settings={"task.alpha": 8})))
    assert labels(figure) == ["softmax · none · task.alpha=8", "softmax · none · task.alpha=24"]
    for axis in figure.axes:
        assert len({to_hex(line.get_color()) for line in means(axis)}) == 2
        assert len({line.get_marker() for line in means(axis)}) == 2


@pytest.mark.parametrize(
    ("seeds", "thin", "bands", "bars"), [(1, 0, 0, 1), (2, 2, 0, 0), (4, 4, 0, 0), (5, 0, 1, 0), (6, 0, 1, 0)]
)
def test_every_seed_is_drawn_below_five_and_a_band_from_five_on(seeds, thin, bands, bars):
    axis = figures.accuracy_against_length(rows(runs(seeds=seeds))).axes[0]
    assert sum(line.get_linewidth() < 0.8 for line in axis.lines) == thin
    assert sum("FillBetween" in type(artist).__name__ for artist in axis.collections) == bands
    assert sum("LineCollection" in type(artist).__name__ for artist in axis.collections) == bars


def test_chance_and_the_trained_range_are_drawn_in_every_panel():
    figure = figures.accuracy_against_length(sweep(), splits=("boundary", "broad", "natural"))
    assert [axis.get_title("left") for axis in figure.axes] == ["boundary", "broad", "natural"]
    for axis in figure.axes:
        (chance,) = [line for line in axis.lines if line.get_label() == "chance"]
        assert list(chance.get_ydata()) == [0.5, 0.5]
        (trained,) = [patch for patch in axis.patches if patch.get_label() == "trained"]
        assert 2 < trained.get_x() < 4
        assert LONGEST < trained.get_x() + trained.get_width() < 64
        assert "trained" in [text.get_text() for text in axis.texts]
    assert [line.get_label() for line in figure.axes[2].lines].count("majority") == 1
    assert {"chance", "majority"} <= {text.get_text() for text in figure.axes[2].texts}


def test_a_figure_tells_how_many_runs_it_lacks():
    data = pd.concat([sweep(), rows(runs("gru", seeds=3, status="DIVERGED"), runs("gru", "full", 1, status="FAILED"))])
    for draw in (figures.accuracy_against_length, figures.accuracy_against_steps):
        said = draw(data).legends[0].get_title().get_text().replace("\n", " ")
        assert "3 of 12 runs diverged, 1 of 12 runs failed" in said


def test_only_the_trained_number_of_steps_is_drawn_against_length():
    data = rows(runs("linear", "full", 1, forced=True))
    (line,) = means(figures.accuracy_against_length(data).axes[0])
    trained = data[(data["steps"] == data["steps_trained"]) & (data["split"] == "boundary")]
    assert list(line.get_ydata()) == list(trained["accuracy"])


def test_against_steps_trained_budgets_are_filled_and_joined_and_forced_ones_hollow():
    budgets = [runs("linear", "full", 3, {"scratchpad.scale": scale}) for scale in (0.25, 0.5)]
    budgets += [runs("linear", "none", 3), runs("linear", "full", 3, forced=True)]
    figure = figures.accuracy_against_steps(rows(*budgets))
    assert len(figure.axes) == 2 * len(LENGTHS)
    axis = figure.axes[3]
    assert axis.get_title("left") == "n = 32"
    (joined,) = means(axis)
    assert list(joined.get_xdata()) == [0, 8, 16, 32]  # none, a quarter, a half, all
    hollow = [line for line in axis.lines if line.get_markerfacecolor() == "white"]
    assert [0, 8, 16] in [list(line.get_xdata()) for line in hollow]
    assert any(line.get_label() == "chance" for line in axis.lines)
    assert labels(figure)[0] == "linear · full"


def test_against_steps_each_point_has_its_interval_in_its_own_hue():
    data = rows(runs("linear", "full", 1), runs("softmax", "full", 5), runs("gru", "full", 3))
    figure = figures.accuracy_against_steps(data)
    hues = {handle.get_label(): to_hex(handle.get_color()) for handle in figure.legends[0].legend_handles}
    length = data[(data["split"] == "boundary") & (data["length"] == 32)]
    alone = length[length["attention"] == "linear"].iloc[0]
    several = t_interval(length.loc[length["attention"] == "softmax", "accuracy"])
    expected = {
        hues["linear · full"]: (alone["accuracy_low"], alone["accuracy_high"]),
        hues["softmax · full"]: tuple(np.clip(several, 0, 1)),
    }  # three seeds are each drawn
    (bars,) = figure.axes[3].collections
    drawn = {
        to_hex(hue): tuple(segment[:, 1]) for hue, segment in zip(bars.get_color(), bars.get_segments(), strict=True)
    }
    assert drawn.keys() == expected.keys()
    assert all(np.allclose(drawn[hue], expected[hue]) for hue in expected)


def test_costs_are_those_of_the_rows_and_slopes_stand_behind_them():
    axes = figures.cost_against_length(sweep()).axes
    (flat,) = [line for line in axes[2].lines if line.get_label() == "linear · none"]
    assert set(flat.get_ydata()) == {8192}
    assert all({"n", "n²"} <= {text.get_text() for text in axis.texts} for axis in axes)


def test_figures_refuse_in_a_sentence():
    with pytest.raises(ValueError, match="other, pairwise: choose task="):
        figures.accuracy_against_length(pd.concat([sweep(), rows(runs()).assign(task="other")]))
    with pytest.raises(ValueError, match="no scores on validation: these rows hold boundary, broad, natural"):
        figures.accuracy_against_length(sweep(), splits=("validation",))
    with pytest.raises(ValueError, match="none of these 0 runs has scores"):
        figures.accuracy_against_length(sweep().head(0))
    forced = rows(runs("linear", "full", forced=True))
    with pytest.raises(ValueError, match="number of steps that was trained"):
        figures.cost_against_length(forced[forced["steps"] == 0])
    unscored = pd.concat([sweep(), rows(runs("gru", status="FAILED"))])
    with pytest.raises(ValueError, match="none of these 2 runs has scores"):
        figures.accuracy_against_steps(unscored[unscored["status"] == "FAILED"])


def test_the_table_averages_runs_over_lengths_and_then_over_seeds():
    data = rows(runs(seeds=3))
    (row,) = compare.table(data).to_dict("records")
    within = data[(data["split"] == "boundary") & data["in_range"]].groupby("seed")["accuracy"].mean()
    beyond = data[(data["split"] == "broad") & ~data["in_range"]].groupby("seed")["accuracy"].mean()
    assert row["boundary"] == pytest.approx(within.mean())
    assert (row["boundary_low"], row["boundary_high"]) == pytest.approx(np.clip(t_interval(within), 0, 1))
    assert row["broad_beyond"] == pytest.approx(beyond.mean())
    assert (row["seeds"], row["done"], row["lengths"], row["lengths_beyond"]) == (3, 3, "4 8 16 32", "64 128")
    assert (row["state_bytes"], row["flops_per_answer"], row["scratch_tokens"]) == (256 * 35, 48000 * 33, 0)


def test_runs_without_scores_are_counted_and_never_dropped():
    data = rows(runs(seeds=3), runs("gru", seeds=2, status="DIVERGED"), runs("gru", "full", 1, status="RUNNING"))
    other = rows(runs(seeds=4)).tail(1).assign(status="FAILED", accuracy=np.nan, split=np.nan, length=np.nan)
    table = compare.table(pd.concat([data, other]))
    counts = table[["attention", "scratchpad", "seeds", "done", "failed", "diverged", "unfinished"]]
    assert counts.values.tolist() == [
        ["softmax", "none", 3, 3, 1, 0, 0],
        ["gru", "none", 0, 0, 0, 2, 0],
        ["gru", "full", 0, 0, 0, 0, 1],
    ]
    assert compare.text(table).splitlines()[-1].split()[:3] == ["gru", "full", "-"]
    for by in (["length"], ["attention", "split"], ["attention", "steps"]):
        assert compare.table(data, by)["diverged"].max() == 2


def test_where_no_run_has_scores_there_still_is_a_table():
    data = rows(runs(status="FAILED"), runs("linear", status="FAILED", settings={"model.width": 64}))
    table = compare.table(select(data, ["width=32,64"]))
    assert table[["attention", "width", "seeds", "failed"]].values.tolist() == [
        ["softmax", 32, 0, 2],
        ["linear", 64, 0, 2],
    ]


def test_a_run_without_scores_adds_no_difference_of_its_own():
    assert varying(rows(runs("linear", "full"), runs("softmax", "full", status="FAILED"))) == ["attention"]


def test_a_mean_takes_only_lengths_that_all_its_runs_have():
    data = rows(runs(seeds=3))
    partial = data[(data["seed"] != 2) | (data["length"] <= 8)]
    (row,) = compare.table(partial).to_dict("records")
    assert row["lengths"] == "4 8"
    easy = data[(data["split"] == "broad") & (data["length"] <= 8)]
    assert row["broad"] == pytest.approx(easy["accuracy"].mean())


def test_recipes_are_apart_by_default_and_counted_when_pooled():
    data = rows(runs(), runs(settings={"task.alpha": 8}), runs("linear"))
    table = compare.table(data)
    assert table["task.alpha"].tolist() == [8, 24, 24]
    assert "recipes" not in table
    pooled = compare.table(data, ["attention"])
    assert pooled[["attention", "recipes", "seeds"]].values.tolist() == [["softmax", 2, 2], ["linear", 1, 2]]
    assert pooled["boundary_low"].isna().tolist() == [True, False], "recipes vary, and that is no chance"


def test_a_mean_is_over_lengths_that_every_run_has_on_every_split():
    data = rows(runs())
    longest = data["length"].max()
    more = data[(data["length"] == longest) & (data["split"] == "boundary")].assign(length=4 * longest)
    table = compare.table(pd.concat([data, more.assign(in_range=True)], ignore_index=True))
    assert str(4 * longest) not in " ".join(table["lengths"])
    assert table["boundary"].tolist() == compare.table(data)["boundary"].tolist()


def test_length_and_split_are_not_averaged_when_asked_for():
    data = sweep()
    table = compare.table(data, ["attention", "length", "split"])
    assert len(table) == 2 * len(LENGTHS) * 3
    assert "boundary" not in table
    assert "accuracy_beyond" not in table
    chosen = table[(table["attention"] == "linear") & (table["length"] == 64) & (table["split"] == "natural")]
    same = data[(data["attention"] == "linear") & (data["length"] == 64) & (data["split"] == "natural")]
    assert chosen["accuracy"].item() == pytest.approx(same.groupby("run")["accuracy"].mean().mean())


def test_an_unknown_column_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="column widht does not exist, did you mean width"):
        compare.table(sweep(), ["widht"])
    with pytest.raises(ValueError, match="there are no runs"):
        compare.table(sweep().head(0))
    with pytest.raises(ValueError, match="column accuracy does not exist"):
        compare.table(sweep(), ["accuracy"])


def test_tables_are_aligned_and_fit_a_terminal():
    grid = itertools.product(("softmax", "linear"), ("none", "full"), (8, 24))
    data = rows(*(runs(attention, pad, 3, {"task.alpha": alpha}) for attention, pad, alpha in grid))
    table = compare.table(data)
    pipes = compare.markdown(table).splitlines()
    assert pipes[0].startswith("In every row: task pairwise, seeds 3, done 3, diverged 0, failed 0, unfinished 0")
    assert len({len(line) for line in pipes[2:]}) == 1
    assert len({line.count("|") for line in pipes[2:]}) == 1
    assert len(pipes) == 2 + 2 + len(table)
    assert "] | ." in pipes[4]
    plain = compare.text(table)
    assert max(map(len, plain.splitlines())) <= 140
    assert plain.count("attention") == 2  # a second block begins with the same columns
    assert "-" in compare.markdown(compare.table(rows(runs("gru", status="DIVERGED"))))


def test_a_run_that_only_stopped_itself_is_drawn_and_compared_though_its_validation_did_not():
    data = rows(runs(scratchpad="full", seeds=1))
    own = data[data["split"] != "validation"].assign(stop="self")
    checked = data[(data["split"] == "boundary") & (data["length"] == 4)].assign(split="validation", stop="budget")
    for lengths, found in (
        (sorted(set(own["length"])), pd.concat([own, checked], ignore_index=True)),
        ([4], pd.concat([own, checked.assign(split="boundary")], ignore_index=True)),  # a budget that was asked for
    ):
        drawn = at_trained_steps(found)
        assert sorted(set(drawn.loc[drawn["split"] != "validation", "length"])) == lengths
    figures.cost_against_length(pd.concat([own, checked], ignore_index=True))


def by_state(data, **changed):
    figure = figures.accuracy_against_state(data.assign(**changed))
    return figure, [axis for axis in figure.axes if axis.get_xlabel() or axis.get_title(loc="left")]


def dots(axis):
    """(bits, accuracy) of every point."""
    lines = [line for line in axis.lines if line.get_marker() not in ("", "None")]
    return {point for line in lines for point in zip(*map(tuple, line.get_data()), strict=True)}


def test_accuracy_against_state_stands_at_the_bits_carried_at_the_longest_trained_length():
    data = rows(*(runs(name, seeds=1) for name in ("softmax", "linear", "window")))
    _, axes = by_state(data)
    for axis, split in zip(axes, ("boundary", "broad"), strict=True):
        here = data[(data["split"] == split) & (data["length"] == LONGEST)]
        assert dots(axis) == set(zip(8 * here["state_bytes"], here["accuracy"], strict=True))
        bound = [line for line in axis.lines if list(line.get_xdata()) == [math.log2(52)] * 2]
        assert len(bound) == 1, "the exact bound is drawn"
        assert any(line.get_label() == "chance" and set(line.get_ydata()) == {0.5} for line in axis.lines)


def test_what_carries_nothing_stands_left_of_the_bound_and_is_called_so():
    data = rows(runs("softmax", seeds=1), runs("linformer", seeds=1))
    _, axes = by_state(data)
    least = min(x for x, _ in dots(axes[0]))
    assert 0 < least < math.log2(52)
    assert [text.get_text() for text in axes[0].texts].count("none") == 1
    assert labels(figures.accuracy_against_state(data)) == ["softmax · none", "linformer · none"]


def test_single_tokens_stand_below_where_answers_have_several():
    data = rows(runs("softmax", seeds=1))
    figure, _ = by_state(data, answer_tokens=8, chance=1 / 2**8, token_accuracy=0.75)
    assert len(figure.axes) == 4
    assert {y for axis in figure.axes[2:] for _, y in dots(axis)} == {0.75}
    levels = [line.get_ydata()[0] for line in figure.axes[2].lines if line.get_label() == "chance"]
    assert levels == [0.5], "chance of one of eight tokens"


def test_without_a_trained_length_the_shortest_is_drawn():
    data = rows(runs("softmax", seeds=1))
    data = data[data["length"] > LONGEST]
    _, axes = by_state(data)
    assert {x for x, _ in dots(axes[0])} == set(8 * data.loc[data["length"] == 64, "state_bytes"])


def test_hybrids_are_called_by_the_variants_in_them():
    layers = "convolution(window=3)+softmax", "convolution(window=3)+linear(feature=elu)"
    data = rows(*(runs("hybrid", seeds=1, settings={"attention.layers": one}.items()) for one in layers))
    assert {line.label for line in lines(data)} == {"convolution+softmax · none", "convolution+linear · none"}
    alike = rows(
        *(runs("hybrid", seeds=1, settings={"attention.layers": f"window(window={w})"}.items()) for w in (2, 3))
    )
    assert {line.label for line in lines(alike)} == {
        f"hybrid · none · attention.layers=window(window={w})" for w in (2, 3)
    }


def test_what_is_rendered_is_laid_out_once_and_rounded():
    """The solver's last bits vary from call to call, too seldom for two renderings to show it."""
    figure = figures.accuracy_against_length(sweep())
    figures.render(figure, "svg")
    corners = np.concatenate([axis.get_position().get_points() for axis in figure.axes])
    assert np.array_equal(corners, corners.round(5))
    figures.render(figure, "png")
    assert np.array_equal(corners, np.concatenate([axis.get_position().get_points() for axis in figure.axes]))
