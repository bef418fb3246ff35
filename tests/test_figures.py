"""Every figure: both widths, all formats, the same bytes for shuffled rows, all words inside and none over another."""

import copy
import functools
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from harness.report import figures, scaling, style
from harness.report.figures import cells
from harness.report.stats import wilson
from tests.test_report import rows, runs

FIRST = {"png": b"\x89PNG\r", "svg": b"<?xml", "pdf": b"%PDF-"}  # bytes
FORMATS = tuple(FIRST)


def failed():
    return runs("gru", seeds=2, settings={"model.width": 48}, status="DIVERGED")


@functools.cache
def compared():
    """Two variants with and without steps, three seeds of each, and two runs that diverged."""
    return rows(*(runs(a, s, 3) for a in ("softmax", "linear") for s in ("none", "full")), failed())


@functools.cache
def budgets():
    """Recipes that differ in the budget of steps, each stopped early and late too."""
    scales = [runs(a, "full", 2, {"scratchpad.scale": s}) for a in ("softmax", "linear") for s in (0.25, 0.5)]
    forced = [runs(a, "full", 2, forced=True) for a in ("softmax", "linear")]
    found = rows(*scales, *forced, runs("linear", "none", 2), failed())
    return found[found["length"].isin((4, 16, 64)) | found["length"].isna()]


@functools.cache
def looped():
    """Six loops were trained, each model takes log2 n of them by itself, and is stopped after fewer and more."""
    halts = {"model.halting": "ponder", "model.loops": 6}
    own = rows(runs("softmax", "none", 3, halts), runs("linear", "none", 2, halts), failed())
    own = own[own["length"].isin((4, 16, 64)) | own["length"].isna()]
    need = np.log2(own["length"].astype(float))
    own = own.assign(loops_trained=6, loops=6, loops_used=need + 0.1 * own["seed"], forced_loops=np.nan)
    parts = [own]
    for k in (1, 2, 4, 6, 8):
        right = 0.5 + (0.45 + 0.01 * own["seed"]) * np.minimum(1, k / need)
        price = {cost: own[cost] * k / 6 for cost in ("prompt_flops", "decode_flops")}
        forced = own.assign(
            loops=k, loops_used=k, forced_loops=k, accuracy=right.where(own["accuracy"].notna()), **price
        )
        parts.append(forced[forced["accuracy"].notna()])
    return pd.concat(parts, ignore_index=True)


@functools.cache
def squeezed():
    """Recurrences that decide until fewer than 16 bits are left; softmax, and what carries nothing, as they are."""
    whole = rows(*(runs(name, seeds=3) for name in ("linear", "gru")))
    whole["accuracy"] = 0.95 + 0.01 * whole["seed"]
    whole["state_bytes"] = np.where(whole["attention"] == "gru", 64, 256)
    parts = [whole]
    for bits in (1, 2, 3, 4, 6, 8, 16):
        left = bits * whole["state_bytes"] / 4
        share = 1 / (1 + (16 / left) ** 3)
        parts.append(
            whole.assign(bits_per_number=bits, state_bits=left, accuracy=0.5 + share * (whole["accuracy"] - 0.5))
        )
    return pd.concat([*parts, rows(runs("softmax", seeds=1), runs("linformer", seeds=1), failed())], ignore_index=True)


@functools.cache
def priced():
    """Widths that cost the square of themselves and are right up to a length that grows with them."""
    kinds = [("softmax", "none"), ("softmax", "full"), ("linear", "none"), ("linear", "full"), ("window", "none")]
    found = rows(*(runs(a, s, 3, {"model.width": w}) for a, s in kinds for w in (16, 32, 64, 128)), failed())
    reach = found["width"] * np.where(found["scratchpad"] == "full", 2, 1) / (1 + 3 * (found["attention"] == "linear"))
    right = (found["length"] <= reach) & (found["attention"] != "window")
    found["accuracy"] = np.where(found["accuracy"].isna(), np.nan, np.where(right, 0.97, 0.8) + 0.005 * found["seed"])
    return found.assign(**{cost: found[cost] * (found["width"] / 32) ** 2 for cost in ("prompt_flops", "decode_flops")})


@functools.cache
def dimensions():
    """Problems of d dimensions (alpha = d): a recurrence solves them up to d = 4, softmax until a seed fails."""
    one = [runs(a, "none", 3, {"task.dim": d, "task.alpha": d}) for a in ("softmax", "linear") for d in range(2, 8)]
    found = rows(*one, runs("linear", "none", 2, {"task.dim": 9, "task.alpha": 9}, status="FAILED"))
    limit = np.where(found["attention"] == "linear", 128 / 2.0 ** found["task.dim"] * (1 + found["seed"]), 200)
    right = (found["length"] <= limit) & ~((found["task.dim"] == 7) & (found["seed"] == 2))
    found["accuracy"] = np.where(found["accuracy"].isna(), np.nan, np.where(right, 0.99, 0.6))
    return found[~((found["length"] == 128) & (found["task.dim"] > 5))]


@functools.cache
def rates():
    """Five learning rates: softmax is best at the middle one, linear attention at the largest; one rate diverges."""
    grid = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    kept = [(a, rate) for a in ("softmax", "linear") for rate in grid if (a, rate) != ("softmax", 3e-2)]
    dead = runs("softmax", "none", 5, {"train.learning_rate": 3e-2}, status="DIVERGED")
    found = rows(*(runs(a, "none", 5, {"train.learning_rate": rate}) for a, rate in kept), dead)
    found["learning_rate"] = found["train.learning_rate"]
    best = np.where(found["attention"] == "softmax", 1e-3, 3e-2)
    off = np.abs(np.log10(found["train.learning_rate"] / best))
    found["accuracy"] = np.where(
        found["accuracy"].isna(), np.nan, np.clip(1.02 - 0.08 * off * (1 + found["seed"]), 0, 1)
    )
    checked = found[(found["split"] == "broad") & (found["length"] == 32)].assign(split="validation")
    return pd.concat([found, checked], ignore_index=True)


@functools.cache
def curves():
    """Losses that fall as a power of the updates with noise, one run that leaves for good at update 600."""
    found = []
    for attention, scratchpad in (("softmax", "none"), ("softmax", "full"), ("linear", "none")):
        for seed in range(3):
            dies = (attention, seed) == ("linear", 2)
            draw = np.random.default_rng([len(attention), len(scratchpad), seed])
            for update in range(10, 601 if dies else 2001, 10):
                loss = 3 * update**-0.6 * np.exp(draw.normal(0, 0.15)) + (0.05 if scratchpad == "none" else 0.002)
                loss *= np.exp(max(0, update - 400) / 60) if dies else 1
                checked = 1 - 0.5 * np.exp(-update / (300 + 150 * (seed + len(attention))))
                found.append({
                    "run": f"{attention}-{scratchpad}-{seed}", "recipe": f"{attention}-{scratchpad}",
                    "task": "pairwise",
                    "attention": attention, "scratchpad": scratchpad, "seed": seed, "update": update,
                    "status": "DIVERGED" if dies else "DONE",
                    "loss": np.nan if dies and update == 600 else loss,
                    "validation": np.nan if update % 100 else checked, "chance": 0.5,
                })  # fmt: skip
    return pd.DataFrame(found)


def points(slope, seeds=3, limits=()):
    """r*(n) = 4 n^slope on a grid of factor two, as `scaling.required` gives it; limits: length -> which."""
    lengths = np.array([8, 16, 32, 64, 128, 256, 512])
    middle = np.log(4.0) + slope * np.log(lengths) + np.random.default_rng(7).normal(0, 0.1, len(lengths))
    step = np.log(2) / 2
    found = pd.DataFrame({"estimate": middle, "low": middle - step, "high": middle + step}, index=lengths)
    found = found.rename_axis("length").assign(hidden=2 * step / np.sqrt(12), censored="", seeds=seeds, solved=seeds)
    for length, side in dict(limits).items():
        end, infinite = ("low", -np.inf) if side == "left" else ("high", np.inf)
        found.loc[length, ["censored", end]] = side, infinite
    return found


@functools.cache
def resources():
    first, second, third = points(1.0, limits={512: "right"}), points(0.0, limits={8: "left"}), points(0.5).head(3)
    return {name: (part, scaling.fit(part)) for name, part in (("softmax", first), ("gru", second), ("linear", third))}


@functools.cache
def reference():
    """What others say of two variants at four lengths; one variant that nobody ran."""
    found = [("softmax", n, 0.99 - n / 900, 0.02) for n in (8, 16, 32, 64)]
    found += [("linear", n, 0.97 - n / 150, np.nan) for n in (8, 16, 32, 64)] + [("mamba", 8, 0.9, np.nan)]
    table = pd.DataFrame(found, columns=["label", "x", "published", "half"])
    table = table.assign(low=table["published"] - table["half"], high=table["published"] + table["half"])
    return table.assign(source="Doe et al. 2024, table 2").drop(columns="half")


@functools.cache
def measured():
    return rows(runs("softmax", seeds=3), runs("linear", seeds=5), failed())


@functools.cache
def ranks():
    grid = [(b, n, d) for b in (0.5, 1.5, 4.0) for n in (64, 128, 256, 512) for d in range(3)]
    found = pd.DataFrame(grid, columns=["bound", "length", "draw"])
    return found.assign(map="softmax", rank=found["length"] ** (found["bound"] / 5) + found["draw"] ** 2)


def required(groups, columns=2):
    return figures.required_resource(groups, resource="state bits", columns=columns)


SPECIMENS = {  # name -> (rows, how they are drawn in columns)
    "accuracy_against_length": (compared, figures.accuracy_against_length),
    "accuracy_against_steps": (budgets, figures.accuracy_against_steps),
    "accuracy_against_loops": (looped, figures.accuracy_against_loops),
    "loops_used": (looped, figures.loops_used),
    "accuracy_against_state": (squeezed, figures.accuracy_against_state),
    "cost_against_length": (compared, figures.cost_against_length),
    "frontier": (priced, figures.frontier),
    "phase_map": (dimensions, figures.phase_map),
    "steps_map": (budgets, figures.steps_map),
    "success_over_rate": (rates, figures.success_over_rate),
    "learning_curves": (curves, figures.learning_curves),
    "published": (measured, lambda rows, columns: figures.published(rows, reference(), columns=columns)),
    "required_resource": (resources, required),
    "table_against_length": (
        ranks,
        lambda rows, columns: figures.table_against_length(rows, "rank", "bound", "ε-rank", columns=columns),
    ),
}  # fmt: skip


def words_of(figure):
    """(text, box in pixels) of every word that is seen."""
    renderer = figure.canvas.get_renderer()
    found = [*figure.texts, *(text for legend in figure.legends for text in (legend.get_title(), *legend.get_texts()))]
    found += [text for text in (figure._suptitle, figure._supylabel) if text is not None and text not in found]
    for axes in figure.axes:
        found += [*axes.texts, axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title]
        for side, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            found += [tick.label1 for tick in side.get_major_ticks() if limits[0] <= tick.get_loc() <= limits[1]]
            found += [tick.label2 for tick in side.get_major_ticks() if limits[0] <= tick.get_loc() <= limits[1]]
    seen = [text for text in found if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in seen]


def faults(figure):
    """What a printer would refuse of a rendered figure: words outside or over one another, panels beyond the edge."""
    FigureCanvasAgg(figure).draw()
    page, words = figure.bbox.padded(0.5), words_of(figure)
    for text, box in words:
        if not (page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1):
            yield f"outside: {text}"
    for (one, first), (other, second) in itertools.combinations(words, 2):
        if first.padded(-1).overlaps(second.padded(-1)):
            yield f"one over another: {one} and {other}"
    for axes in figure.axes:
        box = axes.get_tightbbox(figure.canvas.get_renderer())
        if not (page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1):
            yield f"beyond the edge: {axes.get_title(loc='left')}"


@functools.cache
def kept(name):
    """The rows of a specimen as they are before it is drawn."""
    return copy.deepcopy(SPECIMENS[name][0]())


@functools.cache
def page(name):
    """A figure a whole page wide."""
    make, draw = SPECIMENS[name]
    kept(name)
    return draw(make(), columns=2)


def shuffled(made):
    """The same rows, or groups of points, in another order."""
    if isinstance(made, pd.DataFrame):
        return made.sample(frac=1, random_state=5)
    return {label: (points.sample(frac=1, random_state=5), law) for label, (points, law) in made.items()}


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_whole_page_wide_it_is_fit_to_print_and_the_order_of_rows_is_no_matter(name):
    make, draw = SPECIMENS[name]
    figure = page(name)
    kind = FORMATS[list(SPECIMENS).index(name) % 3]
    found = figures.render(figure, kind)
    assert found.startswith(FIRST[kind])
    assert list(faults(figure)) == []
    assert figure.get_figwidth() == 7
    assert figures.render(draw(shuffled(make()), columns=2), kind) == found


@pytest.mark.parametrize("name", SPECIMENS)
def test_one_column_wide_it_is_fit_to_print_in_every_format(name):
    make, draw = SPECIMENS[name]
    figure = draw(make(), columns=1)
    assert all(figures.render(figure, kind).startswith(first) for kind, first in FIRST.items())
    assert list(faults(figure)) == []
    assert figure.get_figwidth() == 3.35


def broken(how):
    figure, axes = style.sheet("a title", 1, 1, (3, 2))
    axes[0, 0].set_xticks([0.0, 0.5, 0.52 if how == "ticks" else 1.0], ["nought", "a half", "much more"])
    if how == "outside":
        figure.text(0.9, 0.5, "a word that is far too long for its place")
    if how == "edge":
        axes[0, 0].plot([0, 3], [0, 1], clip_on=False)
        axes[0, 0].set_xlim(0, 1)
        figure.set_layout_engine("none")
        axes[0, 0].set_position((0.3, 0.3, 0.4, 0.4))
    return figure


@pytest.mark.parametrize(
    ("how", "said"), [("ticks", "one over another"), ("outside", "outside"), ("edge", "beyond the edge"), ("", None)]
)
def test_the_checker_catches_a_broken_figure(how, said):
    figure = broken(how)
    figures.render(figure, "svg")
    found = list(faults(figure))
    assert all(said in fault for fault in found) if said else not found
    assert bool(found) == bool(said)


def note(figure):
    return " ".join(figure.legends[0].get_title().get_text().split())


def named(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def ticks_of(side):
    return [side.get_major_formatter()(place, None) for place in side.get_majorticklocs()]


def table_of(axis):
    """(row, column) of a map -> what its cell says, with the names of its ticks."""
    across, up = map(ticks_of, (axis.xaxis, axis.yaxis))
    places = {text.get_position(): text.get_text() for text in axis.texts}
    return {(up[y], across[x]): said for (x, y), said in places.items()}


def of(axis, **looks):
    """The lines of an axis that look so."""
    return [line for line in axis.lines if all(getattr(line, f"get_{key}")() == value for key, value in looks.items())]


@pytest.mark.parametrize("name", SPECIMENS)
def test_rows_are_left_as_they_were(name):
    page(name)
    old, new = kept(name), SPECIMENS[name][0]()
    for label in old if isinstance(old, dict) else [None]:
        before, after = (old, new) if label is None else (old[label][0], new[label][0])
        pd.testing.assert_frame_equal(before, after)


def test_another_number_of_columns_is_refused():
    for name, (make, draw) in SPECIMENS.items():
        with pytest.raises(ValueError, match="spans 1 or 2 columns of a page, given is columns=3"):
            draw(make(), columns=3)
        assert callable(getattr(figures, name))


def test_what_a_study_may_name_and_what_plot_draws_is_here():
    assert set(figures.AGAINST) <= set(figures.STUDY) <= set(SPECIMENS)
    assert all(name in figures.__all__ for name in SPECIMENS)


OF_ACCURACY = ("accuracy_against_length", "accuracy_against_steps", "accuracy_against_state", "accuracy_against_loops",
               "steps_map", "published", "learning_curves")  # fmt: skip


@pytest.mark.parametrize("name", OF_ACCURACY)
def test_chance_is_drawn_wherever_accuracy_is(name):
    bearing = [axis for axis in page(name).axes if "loss" not in axis.get_title("left")]
    bars = [axis for axis in bearing if axis.get_label() == style.BAR]
    for axis in bars or bearing:
        assert {0.5} == {y for line in of(axis, label="chance") for y in line.get_ydata()}


NO_RUNS = ("required_resource", "table_against_length")


@pytest.mark.parametrize("name", [name for name in SPECIMENS if name not in NO_RUNS])
def test_runs_that_ended_badly_are_counted_in_the_note(name):
    lost = SPECIMENS[name][0]().groupby("run")["status"].first()
    (how,) = set(lost[lost != "DONE"].str.lower())
    assert f"{(lost != 'DONE').sum()} of {len(lost)} runs {how}" in note(page(name))


@pytest.mark.parametrize("name", [name for name in SPECIMENS if name not in NO_RUNS])
def test_a_damaged_run_that_tells_neither_task_nor_recipe_is_counted_in_the_note(name):
    make, draw = SPECIMENS[name]
    damaged = pd.DataFrame([{"run": "x", "status": "CORRUPT", "reason": "x/run.json is missing"}])
    figure = draw(pd.concat([make(), damaged], ignore_index=True), columns=2)
    assert f"1 of {make()['run'].nunique() + 1} runs damaged" in note(figure)
    assert [axis.get_title("left") for axis in figure.axes] == [axis.get_title("left") for axis in page(name).axes]


SENTENCE = r"^[^\n]{10,300}$"


@pytest.mark.parametrize("name", [name for name in SPECIMENS if name != "required_resource"])
def test_poor_rows_give_a_figure_or_one_sentence(name):
    make, draw = SPECIMENS[name]
    made = make()
    with pytest.raises(ValueError, match=SENTENCE):
        draw(made.head(0), columns=2)
    number = {"learning_curves": "loss", "table_against_length": "rank"}.get(name, "accuracy")
    with pytest.raises(ValueError, match=SENTENCE):
        draw(made.assign(**{number: np.nan}), columns=2)
    if "run" in made:
        with_scores = made[made["status"] == "DONE"]
        one = draw(with_scores[with_scores["run"] == with_scores["run"].iloc[0]], columns=1)
        assert isinstance(one, Figure)
        figures.render(one, "svg")
    if "split" in made:
        with pytest.raises(ValueError, match="nothing to draw: none of these 2 runs has scores yet"):
            draw(made[made["status"] != "DONE"].groupby("run").head(1).head(2), columns=2)


def test_hues_markers_and_dashes_differ_so_that_lines_are_told_apart_in_grey():
    """Of any two names in a legend the marker, the dashes or the lightness differ."""
    for name in SPECIMENS:
        looks = []
        for handle in page(name).legends[0].legend_handles:
            if hasattr(handle, "get_marker"):
                grey = round(np.dot(to_rgb(handle.get_color()), (0.299, 0.587, 0.114)), 1)
                hollow = handle.get_markerfacecolor() in ("white", "none")
                looks.append((handle.get_marker(), hollow, handle._dash_pattern, handle.get_lw(), grey))
        assert len(set(map(str, looks))) == len(looks), name


def test_shades_grow_with_what_they_say():
    lightness = [np.dot(cells.SHADES(share)[:3], (0.2126, 0.7152, 0.0722)) for share in np.linspace(0, 1, 40)]
    assert np.all(np.diff(lightness) > 0)


def test_the_alternative_names_title_panels_axes_lines_and_note():
    said = figures.alternative(page("accuracy_against_length"))
    assert said == (
        "Pairwise. 2 panels: boundary; broad. Exact accuracy, free-running against length n (items). Drawn are: "
        "softmax · none; softmax · full; linear · none; linear · full. Mean of 3 seeds, every seed drawn; "
        "2 of 14 runs diverged."
    )
    said = figures.alternative(page("steps_map"))
    assert "2 panels: softmax · full; linear · full. Reasoning steps k against length n (items)" in said
    assert "Shade: exact accuracy, free-running" in said


def test_a_long_name_is_wrapped_into_its_column():
    long = runs("linear", "full", 1, {"task.alpha": 5, "model.width": 512, "train.lengths": "(4, 8, 16, 32, 64, 128)"})
    figure = figures.cost_against_length(rows(long, runs("softmax", "full", 1)), columns=1)
    assert any("\n" in name for name in named(figure))
    assert not [fault for fault in faults(figure) if fault.startswith("outside")]


def test_steps_map_says_each_cell_and_frames_what_was_trained():
    made = budgets()
    figure = page("steps_map")
    linear = figure.axes[1]
    assert linear.get_title("left") == "linear · full"
    here = made[(made["attention"] == "linear") & (made["split"] == "boundary")]
    trained = here[here["steps"] == here["steps_trained"]].groupby(["length", "steps"])["accuracy"].mean()
    found = table_of(linear)
    assert found == {(f"{k:.0f}", f"{n:.0f}"): f"{100 * value:.0f}" for (n, k), value in trained.items()}
    softmax = table_of(figure.axes[0])
    forced = made[(made["attention"] == "softmax") & (made["split"] == "boundary") & (made["steps"] == 0)]
    assert softmax["0", "64"] == f"{100 * forced.loc[forced['length'] == 64, 'accuracy'].mean():.0f}"
    frames = [[patch for patch in axis.patches if patch.get_edgecolor() == (0, 0, 0, 1)] for axis in figure.axes[:2]]
    assert [len(patches) for patches in frames] == [9, 12], "linear was also trained at k = 0"
    hatched = [patch for patch in linear.patches if patch.get_hatch()]
    up = {int(k) for k in made["steps"].dropna()}
    assert len(hatched) == 3 * len(up) - len(found)
    assert named(figure) == ["trained at this k", "not run"]


def test_many_numbers_of_steps_are_drawn_by_octaves_the_trained_one_first():
    made = rows(*(runs("linear", "full", 1, {"scratchpad.scale": s}) for s in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)))
    made.loc[made["steps"] == made["steps"].max(), "steps_trained"] = 1
    axis = figures.steps_map(made, columns=2).axes[0]
    assert ticks_of(axis.yaxis) == [
        "0",
        "1",
        "2-3",
        "4-7",
        "8-15",
        "16-31",
        "32-63",
        "64-127",
        "128-255",
    ]
    frames = [patch for patch in axis.patches if patch.get_edgecolor() == (0, 0, 0, 1)]
    assert len(frames) == len(axis.texts) - 1, "k = 128 was a stop later than that model's training had"
    here = made[(made["split"] == "boundary") & (made["length"] == 128) & made["steps"].between(64, 127)]
    assert sorted(here["steps"]) == [64, 90, 115]
    assert table_of(axis)["64-127", "128"] == f"{100 * here.set_index('steps')['accuracy'][115]:.0f}"


def test_phase_map_counts_seeds_and_a_run_without_scores_solves_nothing():
    figure = page("phase_map")
    softmax, linear = map(table_of, figure.axes[:2])
    assert linear["9", "4"] == linear["9", "128"] == "0/2"
    assert ("9", "4") not in softmax
    assert ("6", "128") not in linear
    assert softmax["7", "32"] == "2/3"
    for d, n in itertools.product((2, 3, 4, 5), (4, 8, 16, 32, 64)):
        solving = sum(n <= 128 / 2**d * (1 + seed) for seed in range(3))
        assert linear[str(d), str(n)] == f"{solving}/3"
    assert "alpha goes with dim;" in note(figure)


def test_phase_map_over_two_settings_is_at_the_longest_trained_length():
    made = dimensions()
    figure = figures.phase_map(made, x="task.alpha", y="attention.feature")
    assert "at the longest trained length (n = 32)" in note(figure)
    assert table_of(figure.axes[0])["elu", "3"] == "2/3"
    with pytest.raises(ValueError, match=r"column task\.dimm does not exist, did you mean task\.dim"):
        figures.phase_map(made, y="task.dimm")
    with pytest.raises(ValueError, match=r"column scratchpad\.scale is empty"):
        figures.phase_map(made, y="scratchpad.scale")


def test_phase_map_draws_a_bound_at_the_rows_it_allows():
    (line,) = of(figures.phase_map(dimensions(), bound=lambda n: 8 - math.log2(n)).axes[0], linestyle="--")
    assert np.allclose(line.get_ydata(), [4, 3, 2, 1, 0, 0])  # d = 6 to 2, and no lower row


def test_frontier_is_the_least_cost_of_what_is_right_often_enough():
    made = priced()
    figure = page("frontier")
    for axis, measure in zip(figure.axes, ("flops", "pairs"), strict=True):
        for label in ("softmax · none", "softmax · full", "linear · none", "linear · full"):
            attention, scratchpad = label.split(" · ")
            here = made[(made["attention"] == attention) & (made["scratchpad"] == scratchpad)]
            here = here[(here["split"] == "boundary") & (here["accuracy"] > 0.96)]
            cost = here["prompt_flops"] + here["decode_flops"] if measure == "flops" else here["scored_pairs"] / 2
            (line,) = of(axis, label=label)
            found = dict(zip(*line.get_data(), strict=True))
            assert {n: c for n, c in found.items() if not math.isnan(c)} == cost.groupby(here["length"]).min().to_dict()
        crosses = of(axis, marker="x")
        assert [list(line.get_xdata()) for line in crosses] == [[64, 128], [128], [4, 8, 16, 32, 64, 128]]
    (square,) = [
        line for line in figure.axes[1].lines if list(line.get_ydata()) == [n**2 for n in (4, 8, 16, 32, 64, 128)]
    ]
    assert square.get_linestyle() == "--"


def test_frontier_asks_half_of_all_seeds_those_that_failed_among_them():
    made = rows(runs("softmax", seeds=2)).assign(accuracy=lambda rows: np.where(rows["seed"] == 0, 0.96, 0.6))
    assert not of(figures.frontier(made).axes[0], marker="x"), "one of two is half"
    lost = made[made["seed"] == 0].groupby("run").head(1).assign(run="lost", seed=2, status="FAILED", accuracy=np.nan)
    (crosses,) = of(figures.frontier(pd.concat([made, lost])).axes[0], marker="x")
    assert len(crosses.get_xdata()) == 6
    assert not of(figures.frontier(pd.concat([made, lost]), threshold=0.6).axes[0], marker="x")


def test_frontier_names_what_scores_no_pairs_and_does_not_call_it_wrong():
    made = rows(runs("gru", seeds=1), runs("softmax", seeds=1)).assign(accuracy=0.99)
    made.loc[made["attention"] == "gru", "scored_pairs"] = 0
    figure = figures.frontier(made)
    assert "no pairs are scored by gru · none" in note(figure)
    assert not [line for axis in figure.axes for line in of(axis, marker="x")]


def test_required_resource_draws_brackets_limits_and_the_law_in_words():
    groups = resources()
    figure = page("required_resource")
    axis = figure.axes[0]
    slope = groups["softmax"][1]
    said = f"softmax · r* ~ n^{slope.slope:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
    assert named(figure)[:3] == [said, named(figure)[1], "linear · no law: fewer than 5 lengths: 3"]
    assert "[−" in named(figure)[1]
    arrows = [(text.xy[1] > text.xyann[1], round(text.xyann[1], 6)) for text in axis.texts if text.arrow_patch]
    ends = [np.exp(groups[name][0].loc[n, "estimate"]) for name, n in (("softmax", 512), ("gru", 8))]
    assert arrows == [(True, round(ends[0], 6)), (False, round(ends[1], 6))]
    bars = [collection.get_segments() for collection in axis.collections if hasattr(collection, "get_segments")]
    inside = groups["softmax"][0].drop(512)
    assert np.allclose([[end[1] for end in bar] for bar in bars[0]], np.exp(inside[["low", "high"]]))
    (law,) = [line for line in axis.lines if len(line.get_xdata()) == 101 and line.get_color() == style.HUES[0].lower()]
    assert np.allclose(law.get_ydata(), groups["softmax"][1].predict(law.get_xdata()))
    bands = [c.get_paths()[0].vertices for c in axis.collections if "FillBetween" in type(c).__name__]
    assert len(bands) == 2
    assert np.isclose(bands[0][:, 1].max(), max(groups["softmax"][1].band([512])[1]))


def test_required_resource_takes_one_group_and_other_laws():
    part = points(1.0)
    compared = scaling.compare_laws(part)
    figure = figures.required_resource(part, scaling.fit(part, "logarithm"), "width", laws=compared)
    assert named(figure)[0].startswith("r* = a + ")
    assert f"AICc weights: {compared.index[0]} {compared['weight'].iloc[0]:.2f}, " in note(figure)
    assert figure.axes[0].get_ylabel() == "width, r*(n)"
    with pytest.raises(ValueError, match="no value of width was tried at any length"):
        figures.required_resource(part.assign(estimate=np.inf), None, "width")


def test_a_squeezed_run_is_one_line_over_its_bits_and_full_where_nothing_was_rounded():
    made = squeezed()
    axis = figures.accuracy_against_state(made, splits=["boundary"]).axes[0]
    here = made[(made["split"] == "boundary") & (made["length"] == 32) & (made["attention"] == "gru")]
    curves = [line for line in axis.lines if line.get_lw() == 0.8 and line.get_linestyle() == "-"]
    found = {tuple(zip(*line.get_data(), strict=True)) for line in curves}
    for _, run in here.assign(state_bits=here["state_bits"].fillna(8 * here["state_bytes"])).groupby("run"):
        run = run.sort_values("state_bits")
        assert tuple(zip(run["state_bits"], run["accuracy"], strict=True)) in found
    assert len(found) == 6
    full = [line for line in of(axis, linestyle="None") if line.get_markerfacecolor() != "white"]
    assert {x for line in full for x in line.get_xdata() if x in (512, 2048)} == {512, 2048}
    plain = made[made["bits_per_number"].isna()]
    one, other = (figures.accuracy_against_length(part, splits=["boundary"]) for part in (made, plain))
    assert figures.render(one, "svg") == figures.render(other, "svg"), "no other figure draws a rounded state"


def test_learning_curves_end_in_a_cross_at_the_last_finite_loss():
    made = curves()
    loss, validation = page("learning_curves").axes
    dead = made[(made["status"] == "DIVERGED") & made["loss"].notna()]
    (cross,) = of(loss, marker="X")
    assert list(cross.get_xdata()) == [590]
    assert list(cross.get_ydata()) == [dead["loss"].iloc[-1]]
    assert [list(line.get_xdata()) for line in of(validation, marker="X")] == [[500]]
    assert loss.get_yscale() == "log"
    raw = [line for line in loss.lines if line.get_lw() == 0.4]
    assert len(raw) == 9
    assert all(np.all(np.diff(line.get_xdata()) > 0) for line in raw)
    lengths = made.assign(length=np.where(made["update"] % 20, 4, 8))  # the trained length differs from row to row
    assert all(np.all(np.diff(line.get_xdata()) > 0) for line in figures.learning_curves(lengths).axes[0].lines)
    with pytest.raises(ValueError, match="column loss does not exist"):
        figures.learning_curves(made.drop(columns="loss"))
    assert "chance is not told" in note(figures.learning_curves(made.drop(columns="chance")))


def test_success_over_rate_has_wilson_bars_a_ring_where_validation_chose_and_names_the_edge():
    figure = page("success_over_rate")
    axis = figure.axes[0]
    softmax, linear = [line for line in of(axis, linestyle="-") if len(line.get_xdata()) == 5]
    assert list(softmax.get_ydata()) == [0.2, 1, 0.2, 0, 0], "the largest rate diverged"
    assert list(linear.get_ydata()) == [0, 0, 0, 0.2, 1]
    rings = [line for line in axis.lines if line.get_markerfacecolor() == "none"]
    assert [list(ring.get_ydata()) for ring in rings] == [[1], [1]]
    assert [
        abs(math.log(ring.get_xdata()[0] / rate)) < 0.4 for ring, rate in zip(rings, (1e-3, 3e-2), strict=True)
    ] == [True] * 2
    assert "edge of the grid: linear · none;" in note(figure)
    bars = [c.get_segments() for c in axis.collections if hasattr(c, "get_segments")]
    assert np.allclose([end[1] for end in bars[0][0]], wilson(1, 5))


def test_published_stands_at_both_numbers_and_lists_what_was_not_run():
    figure = page("published")
    axis = figure.axes[0]
    told = reference()
    here = measured()[lambda rows: (rows["split"] == "boundary") & rows["length"].isin((8, 16, 32, 64))]
    means = here.groupby(["attention", "length"])["accuracy"].mean()
    points = {(round(x, 9), round(y, 9)) for line in axis.lines for x, y in zip(*line.get_data(), strict=True)}
    for row in told[told["label"] != "mamba"].itertuples():
        assert (round(row.published, 9), round(means[row.label, row.x], 9)) in points
    apart = sum(abs(r.published - means[r.label, r.x]) > 0.07 for r in told[told["label"] != "mamba"].itertuples())
    assert f"{apart} of 8 points further than 0.07 apart" in note(figure)
    assert "not run: mamba at length 8" in note(figure)
    with pytest.raises(ValueError, match="none of mamba at length 8 is among these rows"):
        figures.published(measured(), told[told["label"] == "mamba"])
    with pytest.raises(ValueError, match="source is missing"):
        figures.published(measured(), told.drop(columns="source"))


def test_a_table_is_drawn_by_its_median_and_its_words_tell_lines_apart():
    made = ranks()
    figure = figures.table_against_length(made, "rank", each="bound")
    line = figure.axes[0].lines[0]
    first = made[made["bound"] == 0.5].groupby("length")["rank"].median()
    assert (list(line.get_xdata()), list(line.get_ydata())) == (list(first.index), list(first))
    assert named(figure) == ["bound=0.5", "bound=1.5", "bound=4"]
    unasked = figures.table_against_length(pd.concat([made, made.assign(map="window")]), "rank")
    assert named(unasked) == ["softmax", "window"]
    assert figures.table_against_length(made.assign(rank=0), "rank").axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match="column rnk does not exist, did you mean rank"):
        figures.table_against_length(made, "rnk")
