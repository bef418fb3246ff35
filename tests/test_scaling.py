"""Brackets, estimates and laws of r*(n): what they must equal, and how often their intervals hold the truth."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from harness.report.likelihood import likeliest
from harness.report.scaling import brackets, compare_laws, critical, estimated, fit, required

GRID = (4, 8, 16, 32, 64)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
ENDS = ["length", "seed", "low", "high"]


def rows(solves, lengths=LENGTHS, values=GRID, seeds=3, column="model.width", **columns):
    """A run for each (value, seed), a row for each length; ``solves(length, value, seed)`` says how it went."""
    found = []
    for value, seed in itertools.product(values, range(seeds)):
        run = {"run": f"w{value}-{seed}", "recipe": f"w{value}", "seed": seed, "status": "DONE", column: value}
        for length in lengths:
            accuracy = 0.99 if solves(length, value, seed) else 0.7
            found.append(run | {"length": length, "split": "boundary", "accuracy": accuracy, "chance": 0.5} | columns)
    return pd.DataFrame(found)


def failed(data, runs):
    """Those runs ended without scores: a row each, with its settings alone."""
    lost = data[data["run"].isin(runs)].drop_duplicates("run")
    lost = lost.assign(length=math.nan, split=None, accuracy=math.nan, chance=math.nan, status="FAILED")
    measures = [column for column in ("state_bits", "bits_per_number") if column in lost]
    return pd.concat([data[~data["run"].isin(runs)], lost.assign(**dict.fromkeys(measures, math.nan))])


def points(x, y, censored="", hidden=0.0):
    return pd.DataFrame({"estimate": y, "censored": censored, "hidden": hidden}, index=np.asarray(x, dtype=float))


def noisy(slope=0.8, spread=0.2, seed=3, lengths=LENGTHS):
    return points(lengths, 1 + slope * np.log(lengths) + np.random.default_rng(seed).normal(0, spread, len(lengths)))


def least_squares(data):
    """(slope, low, high, intercept) in another way."""
    found = stats.linregress(np.log(data.index), data["estimate"])
    half = stats.t.ppf(0.975, len(data) - 2) * found.stderr
    return found.slope, found.slope - half, found.slope + half, found.intercept


def numbers(law):
    return law.slope, law.low, law.high, law.intercept


# brackets


def test_a_bracket_holds_the_least_value_and_its_ends_are_neighbours():
    rng = np.random.default_rng(5)
    true = {key: rng.uniform(1, 90) for key in itertools.product(LENGTHS, range(3))}
    found = brackets(rows(lambda n, r, s: r >= true[n, s]), "width")
    assert list(found.columns) == ENDS
    assert len(found) == len(true)
    neighbours = set(itertools.pairwise((0.0, *GRID, math.inf)))
    for length, seed, low, high in found.itertuples(index=False):
        assert low < true[length, seed] <= high
        assert (low, high) in neighbours


def test_only_the_least_value_that_solves_counts():
    found = brackets(rows(lambda n, r, s: r in (8, 64)), "width")
    assert set(found[["low", "high"]].itertuples(index=False, name=None)) == {(4.0, 8.0)}


def test_a_run_that_failed_solved_nothing():
    data = rows(lambda n, r, s: r >= 8)
    whole, broken = brackets(data, "width"), brackets(failed(data, ["w8-1"]), "width")
    same = brackets(rows(lambda n, r, s: r >= (16 if s == 1 else 8)), "width")
    pd.testing.assert_frame_equal(broken, same)
    assert not broken.equals(whole)


def test_a_run_that_failed_counts_at_the_size_of_its_recipe():
    data = rows(lambda n, r, s: r >= 8, column="state_bits")
    same = brackets(rows(lambda n, r, s: r >= (16 if s == 1 else 8), column="state_bits"), "state bits")
    pd.testing.assert_frame_equal(brackets(failed(data, ["w8-1"]), "state bits"), same)


def test_a_run_that_failed_at_a_known_length_counts_there_alone():
    data = rows(lambda n, r, s: r >= 8)
    row = (data["run"] == "w8-1") & (data["length"] == 32)
    data.loc[row, ["accuracy", "split"]] = math.nan, None
    found = brackets(data, "width").set_index(["length", "seed"])["high"]
    assert found[(32, 1)] == 16
    assert (found.drop((32, 1)) == 8).all()


def test_a_run_that_failed_says_nothing_of_other_sizes():
    data = rows(lambda n, r, s: r >= 8, column="state_bits")
    data = data[~data["run"].isin(["w16-1", "w32-1", "w64-1"])]
    found = brackets(failed(data, ["w8-1"]), "state bits")
    assert (found.loc[found["seed"] == 1, ["low", "high"]] == [8, math.inf]).all(axis=None)


@pytest.mark.parametrize("column", ["model.width", "state_bits"])
def test_a_seed_of_failures_alone_is_never_dropped(column):
    word = {"model.width": "width", "state_bits": "state bits"}[column]
    data = rows(lambda n, r, s: r >= 8, column=column)
    lost = failed(data, [f"w{value}-2" for value in GRID])
    if column == "state_bits":
        lost.loc[lost["accuracy"].isna(), "recipe"] = "nowhere"  # no other run of it ended
    found = brackets(lost, word)
    assert len(found) == 3 * len(LENGTHS)
    assert (found.loc[found["seed"] == 2, "high"] == math.inf).all()
    table = required(lost, word)
    assert (table[["seeds", "solved"]] == [3, 2]).all(axis=None)


def test_does_asks_of_the_median_run_and_can_of_the_best():
    poor, good = rows(lambda n, r, s: r >= 32), rows(lambda n, r, s: r >= 8)
    two = pd.concat([poor, poor.assign(run="b" + poor["run"]), good.assign(run="c" + good["run"])])
    assert (brackets(two, "width")["high"] == 32).all()
    assert (brackets(two, "width", "can")["high"] == 8).all()
    even = pd.concat([poor, good.assign(run="c" + good["run"])])
    assert (brackets(even, "width")["high"] == 8).all()  # half of them is enough


def test_squeezed_states_count_among_state_bits_alone():
    data = rows(lambda n, r, s: r >= 8).assign(state_bits=lambda d: 32 * d["model.width"], bits_per_number=math.nan)
    squeezed = data[data["model.width"] == 8].assign(bits_per_number=4.0, state_bits=32.0, accuracy=1.0)
    both = pd.concat([data, squeezed.assign(**{"model.width": 4})])
    assert (brackets(both, "width")["high"] == 8).all()
    assert (brackets(both, "state bits")["high"] == 32).all()


def test_what_does_not_fit_is_refused():
    data = rows(lambda n, r, s: True)
    with pytest.raises(ValueError, match="resource widht does not exist, did you mean width"):
        required(data, "widht")
    with pytest.raises(ValueError, match=r"column attention\.window does not exist"):
        required(data, "window")
    with pytest.raises(ValueError, match="asks best does not exist"):
        required(data, "width", "best")
    with pytest.raises(ValueError, match="one split, given are boundary, broad"):
        required(pd.concat([data, data.assign(split="broad")]), "width")
    with pytest.raises(ValueError, match="law powre does not exist, did you mean power"):
        fit(noisy(), "powre")
    with pytest.raises(ValueError, match="lengths above 0, given is -1"):
        fit(points(range(-1, 6), range(7)))


# estimates


def test_least_is_the_first_value_that_half_of_the_seeds_solve():
    table = np.random.default_rng(8).random((len(LENGTHS), len(GRID), 4)) < 0.4
    place = {value: index for index, value in enumerate((*LENGTHS, *(-v for v in GRID)))}
    data = rows(lambda n, r, s: table[place[n], place[-r] - len(LENGTHS), s], seeds=4)
    for length, row in zip(LENGTHS, table, strict=True):
        enough = [value for value, seeds in zip(GRID, row, strict=True) if seeds.sum() >= 2]
        assert required(data, "width").loc[length, "least"] == (enough[0] if enough else math.inf)


def test_seeds_that_share_a_bracket_are_estimated_at_its_middle():
    found = required(rows(lambda n, r, s: r**2 >= n), "width")
    inside = found[found["censored"] == ""]
    assert inside["estimate"].to_numpy() == pytest.approx((inside["low"] + inside["high"]) / 2)
    assert inside["hidden"].to_numpy() == pytest.approx(math.log(2) / math.sqrt(12))
    assert list(inside.index) == list(LENGTHS[2:])
    assert list(found["censored"]) == ["left", "left", *[""] * 5]
    assert found.loc[8, "estimate"] == math.log(4)
    assert found.loc[8, "low"] == -math.inf


def test_what_no_seed_solves_is_beyond_the_largest_value():
    found = required(rows(lambda n, r, s: r >= n), "width")
    assert list(found["censored"]) == ["", "", "", "", "right", "right", "right"]
    assert (found.loc[128:, "estimate"] == math.log(64)).all()
    assert (found.loc[128:, ["least", "high"]] == math.inf).all(axis=None)
    assert (found.loc[128:, "solved"] == 0).all()


def studies(rng, slope=0.5, spread=0.15, noise=0.3, seeds=3, factor=2**0.5, lengths=8, censored=False):
    """Brackets of one study: log r* is a line, an effect of each length and noise of each seed; a grid sees them.

    ``censored``: the grid ends between the last two lengths, half the rise below the last.
    """
    x = np.log(8 * 2.0 ** np.arange(lengths))
    line = 2 + slope * (x - x[0])
    true = line[:, None] + rng.normal(0, spread, (lengths, 1)) + rng.normal(0, noise, (lengths, seeds))
    grid = np.arange(-2 + rng.uniform(-1, 0) * math.log(factor), line[-1] + 4, math.log(factor))
    if censored:
        grid = grid[grid <= line[-2:].mean() + (slope == 0) * noise]
    ends = np.array([-math.inf, *grid, math.inf])
    place = np.searchsorted(grid, true.ravel())
    frame = {"length": np.exp(np.repeat(x, seeds)), "seed": np.tile(np.arange(seeds), lengths)}
    return pd.DataFrame(frame | {"low": np.exp(ends[place]), "high": np.exp(ends[place + 1])})


def test_estimates_are_the_maximum_of_their_likelihood():
    held = studies(np.random.default_rng(12), lengths=4, seeds=5)
    _, place = np.unique(held["length"], return_inverse=True)
    low, high = np.log(held["low"].to_numpy()), np.log(held["high"].to_numpy())

    def loss(at):
        p = stats.norm.cdf((high - at[place]) / math.exp(at[-1])) - stats.norm.cdf((low - at[place]) / math.exp(at[-1]))
        return -np.log(np.maximum(p, 1e-300)).sum()

    start = np.append(np.bincount(place, (low + high) / 2) / 5, math.log(0.3))
    options = {"xatol": 1e-7, "fatol": 1e-10, "maxiter": 20000, "maxfev": 20000}
    theirs = optimize.minimize(loss, start, method="Nelder-Mead", options=options)
    assert estimated(held)["estimate"].to_numpy() == pytest.approx(theirs.x[:-1], abs=2e-4)


@pytest.mark.parametrize("censored", [False, True])
def test_an_estimate_lies_among_the_brackets_of_its_seeds(censored):
    rng = np.random.default_rng(6)
    for _ in range(30):
        found = estimated(studies(rng, censored=censored))
        assert (found["low"] <= found["estimate"]).all()
        assert (found["estimate"] <= found["high"]).all()
        agree = found["hidden"] > 0
        width = (found["high"] - found["low"])[agree]
        assert found.loc[agree, "hidden"].to_numpy() == pytest.approx(width.to_numpy() / math.sqrt(12))


def test_a_length_is_censored_only_if_all_its_seeds_are_on_one_side():
    ends = [(0, 4), (4, 8), (8, 16), (0, 4), (0, 4), (0, math.inf), (4, 8), (16, math.inf), (16, math.inf)]
    held = pd.DataFrame(ends, columns=["low", "high"]).assign(length=[8] * 3 + [16] * 3 + [32] * 3)
    found = estimated(held)
    assert list(found["censored"]) == ["", "left", ""]
    assert 4 < math.exp(found.loc[8, "estimate"]) < 8
    assert found.loc[16, "estimate"] == math.log(4)
    right = estimated(held.assign(low=held["low"] * (held["length"] < 32) + 16.0, high=math.inf))
    assert list(right["censored"]) == ["right"] * 3


def test_a_seed_that_never_solves_raises_the_estimate():
    held = studies(np.random.default_rng(7), seeds=4)
    one = (held["length"].round() == 64) & (held["seed"] == 0)
    before, dropped = estimated(held)["estimate"], estimated(held[~one])["estimate"]
    after = estimated(held.assign(high=held["high"].where(~one, math.inf)))["estimate"]
    assert after[before.index.to_numpy().round() == 64].item() > dropped[before.index.to_numpy().round() == 64].item()


def test_a_resource_in_other_units_moves_the_estimates_alone():
    held = studies(np.random.default_rng(9), censored=True)
    one, other = estimated(held), estimated(held.assign(low=held["low"] * 8, high=held["high"] * 8))
    assert other["estimate"].to_numpy() == pytest.approx(one["estimate"].to_numpy() + math.log(8), abs=1e-6)
    assert numbers(fit(other))[:3] == pytest.approx(numbers(fit(one))[:3], abs=1e-6)


def test_no_steps_at_all_is_at_most_the_least_number_of_steps():
    found = required(rows(lambda n, r, s: r >= n // 16, values=(0, 2, 4, 8, 16), column="steps"), "steps")
    assert list(found["least"][:4]) == [0, 2, 2, 4]
    assert list(found["censored"][:4]) == ["left", "left", "left", ""]  # (0, 2] has no lower end on a log scale
    assert list(found["estimate"][:3]) == [math.log(2)] * 3


def test_critical_is_required_seen_from_the_lengths():
    data = rows(lambda n, r, s: n <= r * 4 * (1 + s % 2))
    found = critical(data, "width")
    assert found.index.name == "value"
    for value in GRID:
        solved = [n for n in LENGTHS if n <= value * 4], [n for n in LENGTHS if n <= value * 8]
        assert found.loc[value, "largest"] == max(solved[0])  # two seeds of three, and so at least half
        assert found.loc[value, "low"] == pytest.approx(math.log(max(solved[0])))
    assert list(found["censored"]) == ["", "", "", "", ""]
    assert fit(found).slope == pytest.approx(1, abs=0.1)


def test_critical_at_the_edges_of_its_grid():
    found = critical(rows(lambda n, r, s: n <= {4: 1, 8: 100}.get(r, 9999)), "width")
    assert list(found["censored"]) == ["left", "", "right", "right", "right"]
    assert list(found["largest"]) == [0, 64, 512, 512, 512]
    assert found["estimate"].to_numpy() == pytest.approx(np.log([8, math.sqrt(64 * 128), 512, 512, 512]))
    assert found.loc[4, "low"] == -math.inf
    assert found.loc[16, "high"] == math.inf


# laws


@pytest.mark.parametrize("seed", range(4))
def test_with_nothing_censored_the_law_is_least_squares_with_a_t_interval(seed):
    data = noisy(seed=seed)
    found = fit(data)
    assert numbers(found) == pytest.approx(least_squares(data), abs=1e-6)
    assert (found.lengths, found.censored, found.reason) == (7, 0, "")
    x = np.log([8.0, 100.0])
    theirs = stats.linregress(np.log(data.index), data["estimate"])
    spread = np.sqrt(theirs.intercept_stderr**2 + theirs.stderr**2 * (x**2 - 2 * x * np.log(LENGTHS).mean()))
    half = stats.t.ppf(0.975, 5) * spread
    low, high = found.band([8, 100])
    assert np.log(low) == pytest.approx(theirs.intercept + theirs.slope * x - half, abs=1e-6)
    assert np.log(high) == pytest.approx(theirs.intercept + theirs.slope * x + half, abs=1e-6)
    assert np.log(found.predict([8, 100])) == pytest.approx(theirs.intercept + theirs.slope * x)


def test_the_likelihood_is_that_of_a_tobit_model():
    rng = np.random.default_rng(4)
    y, design = rng.normal(0, 1, 9), np.stack([np.ones(9), np.linspace(-1, 1, 9)], axis=1)
    low, high = y.copy(), y.copy()
    high[[6, 8]], low[2], low[4], high[4] = math.inf, -math.inf, -0.5, 0.7

    def loss(at):
        middle, sigma = design @ at[:2], math.exp(at[2])
        inside = np.log(np.maximum(stats.norm.cdf(high, middle, sigma) - stats.norm.cdf(low, middle, sigma), 1e-300))
        return -np.where(low == high, stats.norm.logpdf(low, middle, sigma), inside).sum()

    theirs = optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    mine = likeliest(low, high, design, 0.0, np.array([0.0, 0.0, 1.0]))
    assert mine.value == pytest.approx(-theirs.fun, abs=1e-8)
    assert mine.line == pytest.approx(theirs.x[:2], abs=1e-4)
    shaken = optimize.approx_fprime(theirs.x, lambda at: optimize.approx_fprime(at, loss, 1e-5), 1e-5)
    assert mine.covariance == pytest.approx(np.linalg.inv(shaken)[:2, :2], rel=0.02)


def test_a_limit_that_says_nothing_changes_nothing():
    data = noisy()
    idle = pd.concat([data, points([1024], [data["estimate"].min() - 9], "right")])
    assert numbers(fit(idle)) == pytest.approx(numbers(fit(data)), abs=1e-5)
    assert (fit(idle).lengths, fit(idle).censored) == (8, 1)


def test_a_limit_across_the_line_moves_it():
    data = noisy()
    beyond = [fit(pd.concat([data, points([1024], [7 + rise], "right")])).slope for rise in (0, 0.4, 0.8, 1.2)]
    assert (np.diff(beyond) > 0).all()
    below = fit(pd.concat([data, points([1024], [5.5], "left")])).slope
    assert below < fit(data).slope < beyond[-1]


@pytest.mark.parametrize("law", ["power", "exponential"])
def test_a_law_upside_down_has_the_opposite_slope(law):
    data = pd.concat([noisy(), points([1024], [6.3], "right"), points([4], [2.4], "left")])
    other = data.assign(
        estimate=-data["estimate"], censored=data["censored"].map({"left": "right", "right": "left", "": ""})
    )
    slope, low, high, intercept = numbers(fit(data, law))
    assert numbers(fit(other, law)) == pytest.approx((-slope, -high, -low, -intercept), abs=1e-6)


def test_lengths_in_other_units_leave_an_exponent():
    data = pd.concat([noisy(), points([1024], [6.3], "right")])
    assert numbers(fit(data))[:3] == pytest.approx(numbers(fit(data.set_axis(data.index * 16)))[:3], abs=1e-6)


def test_what_the_grid_hides_is_the_least_that_residuals_show():
    """Seeds that agree everywhere: the interval is that of residuals as wide as a uniform law on the grid step."""
    found = fit(
        required(rows(lambda n, r, s: r >= n, lengths=(8, 16, 32, 64, 128), values=(4, 8, 16, 32, 64, 128)), "width")
    )
    assert found.slope == pytest.approx(1)
    x = np.log([8, 16, 32, 64, 128])
    half = stats.t.ppf(0.975, 3) * math.log(2) / math.sqrt(12) / math.sqrt(((x - x.mean()) ** 2).sum())
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half), abs=1e-6)
    doublings = fit(points(range(1, 7), 1.0, hidden=0.1), "exponential")
    assert doublings.high == pytest.approx(stats.t.ppf(0.975, 4) * 0.1 / math.log(2) / math.sqrt(17.5), rel=1e-6)
    exact = fit(points(LENGTHS, np.log(LENGTHS)).drop(columns="hidden"))
    assert (exact.low, exact.high) == pytest.approx((1, 1), abs=1e-6)


def test_a_grid_finer_than_the_residuals_adds_nothing():
    assert numbers(fit(noisy(spread=0.3).assign(hidden=0.1))) == pytest.approx(
        numbers(fit(noisy(spread=0.3))), abs=1e-6
    )
    coarse, fine = fit(noisy().assign(hidden=0.5)), fit(noisy())
    assert coarse.low < fine.low < fine.high < coarse.high


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (noisy(lengths=(8, 16, 32, 64)), "fewer than 5 lengths: 4"),
        (
            noisy().assign(censored=["", "", "", "", "right", "right", "right"]),
            "fewer than 5 lengths inside the grid: 4 of 7",
        ),
        (noisy().assign(censored="left"), "solved at the least value everywhere: edge of grid"),
        (noisy().assign(censored="right"), "solved at no value anywhere: edge of grid"),
        (noisy().iloc[:0], "fewer than 5 lengths: 0"),
    ],
)
def test_too_little_says_why_it_has_no_slope(data, reason):
    found = fit(data)
    assert found.reason == reason
    assert np.isnan(numbers(found)).all()
    assert np.isnan(found.predict([8])).all()
    assert np.isnan(found.band([8])).all()
    assert compare_laws(data)["weight"].isna().all()


@pytest.mark.parametrize(
    ("law", "truth"),
    [
        ("power", lambda x: 3 * x**0.7),
        ("exponential", lambda x: 5 * 2 ** (0.5 * x)),
        ("logarithm", lambda x: 2 + 3 * np.log(x)),
    ],
)
def test_a_law_finds_itself(law, truth):
    x = np.arange(2, 9)
    found = fit(points(x, np.log(truth(x))), law)
    assert found.slope == pytest.approx({"power": 0.7, "exponential": 0.5, "logarithm": 3}[law])
    assert found.predict(x) == pytest.approx(truth(x))
    low, high = found.band(x)
    assert (low <= found.predict(x)).all()
    assert (found.predict(x) <= high).all()


TRUTHS = {
    "constant": lambda x: 0 * x + 7.0,
    "logarithm": lambda x: 1 + 3 * np.log(x),
    "power": lambda x: 3 * x**0.7,
    "exponential": lambda x: 5 * 2 ** (0.1 * x),
}


@pytest.mark.parametrize("law", TRUTHS)
@pytest.mark.parametrize("censored", [False, True])
def test_the_law_that_made_the_points_is_the_likeliest(law, censored):
    x = np.array([2.0, 4, 8, 16, 32, 64, 128])
    y = np.log(TRUTHS[law](x)) + np.random.default_rng(3).normal(0, 0.03, 7)
    data = points(x, y)
    if censored:
        data = data.assign(estimate=y - [0, 0, 0, 0, 0, 0, 0.5], censored=[*[""] * 6, "right"])
    found = compare_laws(data)
    assert found.index[0] == law
    assert found["weight"].sum() == pytest.approx(1)
    assert found["delta"].iloc[0] == 0
    assert set(found.index) == set(TRUTHS)


def test_aicc_of_a_power_law_is_that_of_least_squares():
    data = noisy()
    residuals = data["estimate"] - np.polyval(np.polyfit(np.log(data.index), data["estimate"], 1), np.log(data.index))
    log_likelihood = stats.norm.logpdf(residuals, 0, np.sqrt(np.mean(residuals**2))).sum()
    found = compare_laws(data).loc["power"]
    assert found["log_likelihood"] == pytest.approx(log_likelihood, abs=1e-6)
    assert found["aicc"] == pytest.approx(6 - 2 * log_likelihood + 24 / 3, abs=1e-6)


def test_laws_that_agree_within_the_grid_step_differ_in_parameters_alone():
    found = compare_laws(points(LENGTHS, 1.0, hidden=0.1))
    assert found.index[0] == "constant"
    assert found["log_likelihood"].to_numpy() == pytest.approx(found["log_likelihood"].iloc[0])


# coverage


def as_it_is(held):
    found = fit(estimated(held))
    return found.slope, found.low, found.high


def without_failures(held):
    """Broken specimen: seeds that never solved are dropped."""
    found = fit(estimated(held[np.isfinite(held["high"])]))
    return found.slope, found.low, found.high


def over_seeds(held):
    """Broken specimen: a slope for each seed, a t interval over seeds; what a length has of its own is not seen."""
    logs = np.log(held["low"] * held["high"]).to_numpy().reshape(-1, held["seed"].nunique()) / 2
    slopes = np.polyfit(np.log(held["length"].unique()), logs, 1)[0]
    half = stats.t.ppf(0.975, len(slopes) - 1) * slopes.std(ddof=1) / math.sqrt(len(slopes))
    return slopes.mean(), slopes.mean() - half, slopes.mean() + half


def coverage(how, count, slope=0.5, **settings):
    """Share of simulated studies whose interval holds the true slope, and of those that have an interval."""
    rng = np.random.default_rng(2024)
    ends = np.array([how(studies(rng, slope, **settings)) for _ in range(count)])
    ends = ends[~np.isnan(ends[:, 0])]
    return np.mean((ends[:, 1] <= slope) & (slope <= ends[:, 2])), len(ends) / count


@pytest.mark.parametrize("spread", [0.0, 0.15])
@pytest.mark.parametrize("censored", [False, True])
def test_intervals_of_95_percent_hold_the_slope_in_95_of_100_studies(spread, censored):
    held, fitted = coverage(as_it_is, 1000, spread=spread, censored=censored)
    assert 0.92 < held < 0.98
    assert fitted > 0.99


def test_they_do_where_the_resource_does_not_grow():
    held, _ = coverage(as_it_is, 500, slope=0.0, spread=0.15, factor=2.0, seeds=5)
    assert 0.92 < held < 0.98


@pytest.mark.parametrize(
    ("broken", "settings"),
    [(without_failures, {"spread": 0.15, "censored": True}), (over_seeds, {"spread": 0.3, "noise": 0.2, "seeds": 5})],
)
def test_a_method_that_covers_too_little_is_caught(broken, settings):
    held, _ = coverage(broken, 200, **settings)
    assert held < 0.92
    assert 0.92 < coverage(as_it_is, 200, **settings)[0] < 0.98
