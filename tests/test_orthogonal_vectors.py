"""OrthogonalVectors, held against plain Python: tiny prompts, what is planted, what statistics see, the reduction."""

import doctest
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare, mannwhitneyu

from tasks import orthogonal_vectors
from tasks.orthogonal_vectors import OrthogonalVectors, as_hamming
from tasks.pairwise import Pairwise

LARGE = OrthogonalVectors(dim=64, density=0.45, tokens="coordinate")
DRAWN = [
    OrthogonalVectors(),
    OrthogonalVectors(dim=2),
    OrthogonalVectors(dim=5, density=0.49, tokens="coordinate"),
    OrthogonalVectors(dim=12, density=0.1),
    LARGE,
]


def named(problem):
    return "-".join(map(str, vars(problem).values()))


def sample(problem, size, length, split, seed=1):
    return problem.sample(np.random.default_rng(seed), size, length, split)


def vectors(problem, prompt):
    """(B, n, d) bits."""
    if problem.tokens == "coordinate":
        return prompt.reshape(len(prompt), -1, problem.dim)
    return prompt[..., None] >> np.arange(problem.dim)[::-1] & 1


def products(items):
    """The inner products of every two, (B, n(n-1)/2)."""
    return np.stack(
        [(items[:, i] * items[:, j]).sum(axis=1) for i, j in combinations(range(items.shape[1]), 2)], axis=1
    )


@pytest.mark.parametrize(
    ("problem", "length"),
    [
        (OrthogonalVectors(dim=3), 4),
        (OrthogonalVectors(dim=4), 3),
        (OrthogonalVectors(dim=3, tokens="coordinate"), 4),
        (OrthogonalVectors(dim=2), 5),
    ],
    ids=str,
)
def test_every_tiny_prompt_is_right(problem, length):
    prompt, found = problem.prompts(length), []
    assert len(prompt) == 2 ** (problem.dim * length)
    for row in vectors(problem, prompt).tolist():
        masks = [int("".join(map(str, bits)), 2) for bits in row]
        found.append([any(x & y == 0 for x, y in combinations(masks[: i + 1], 2)) for i in range(length)])
    said = problem.symbols + np.array(found)
    assert np.array_equal(problem.solve(prompt), said[:, -1:])
    so_far = problem.so_far(prompt).reshape(len(prompt), length, -1)
    assert np.array_equal(so_far[..., -1], said)
    assert (so_far[..., :-1] == -1).all()
    for name, trace in problem.traces.items():
        steps = trace.steps(prompt)
        assert np.array_equal(trace.read(steps), said[:, -1:]), name
        for index in range(trace.count(length)):
            assert np.array_equal(trace.next(prompt, steps[:, :index]), steps[:, index]), name


@pytest.mark.parametrize("problem", DRAWN, ids=named)
@pytest.mark.parametrize("length", [2, 3, 11])
def test_twins_have_one_orthogonal_pair_or_none(problem, length):
    prompt = sample(problem, 600, length, "boundary").prompt
    items = vectors(problem, prompt)
    yes, no = items[::2], items[1::2]
    orthogonal = products(yes) == 0
    assert (orthogonal.sum(axis=1) == 1).all()
    assert (products(no)[orthogonal] == 1).all()
    assert (products(no) > 0).all()
    assert ((no - yes).sum(axis=(1, 2)) == 1).all()
    row, place, bit = np.nonzero(no != yes)
    assert np.array_equal(row, np.arange(300))
    assert set(place) == set(range(length))
    assert chisquare(np.bincount(bit, minlength=problem.dim)).pvalue > 1e-3


@pytest.mark.parametrize("problem", DRAWN, ids=named)
@pytest.mark.parametrize("length", [2, 3, 9])
def test_broad_has_an_orthogonal_pair_or_evenly_spread_near_ones(problem, length):
    instance = sample(problem, 3000, length, "broad")
    met = products(vectors(problem, instance.prompt))
    yes = instance.answer[:, 0] == problem.vocab - 1
    orthogonal = (met[yes] == 0).sum(axis=1)
    assert orthogonal.min() == 1
    assert (orthogonal == 1).mean() > 0.7
    smallest = np.bincount(met[~yes].min(axis=1), minlength=problem.most(length) + 1)
    assert smallest[0] == 0
    assert len(smallest) == problem.most(length) + 1
    assert len(smallest) == 2 or chisquare(smallest[1:]).pvalue > 1e-3


def test_broad_shows_several_orthogonal_pairs_and_zero_vectors_as_natural_does():
    problem = OrthogonalVectors(dim=5)
    items = vectors(problem, sample(problem, 4000, 8, "broad").prompt)
    zero = (items.sum(axis=2) == 0).any(axis=1)
    assert 0.02 < zero.mean() < 0.2
    assert ((products(items) == 0).sum(axis=1) > 1).mean() > 0.08


def test_the_pair_has_as_many_ones_whatever_the_answer():
    instance = sample(LARGE, 4000, 2, "broad")
    ones = vectors(LARGE, instance.prompt).sum(axis=2)
    yes = instance.answer[:, 0] == LARGE.vocab - 1
    assert mannwhitneyu(ones[yes].sum(axis=1), ones[~yes].sum(axis=1)).pvalue > 1e-3
    assert np.isclose(ones.mean(), 64 * LARGE.ones(2), atol=0.3)


def test_the_lightest_vectors_are_seldom_the_pair():
    problem = OrthogonalVectors()
    prompt = sample(problem, 4000, 16, "boundary").prompt
    items = vectors(problem, prompt)[::2]
    order = (items.sum(axis=2) + np.random.default_rng(3).random(items.shape[:2])).argsort(axis=1)
    first, second = (np.take_along_axis(items, order[:, [place], None], axis=1)[:, 0] for place in (0, 1))
    assert (~(first & second).any(axis=1)).mean() < 0.05


def test_density_is_that_of_the_literature():
    expected = {
        64: [0.406, 0.294, 0.210],
        128: [0.428, 0.310, 0.222],
        256: [0.448, 0.325, 0.233],
        512: [0.466, 0.340, 0.244],
    }
    for length, ones in expected.items():
        found = [OrthogonalVectors(dim, 0.49, "coordinate").ones(length) for dim in (64, 128, 256)]
        assert found == pytest.approx(ones, abs=0.0011), length
    assert OrthogonalVectors().ones(64) == 0.4
    natural = vectors(LARGE, sample(LARGE, 400, 64, "natural").prompt)
    assert natural.mean() == pytest.approx(0.406, abs=0.002)


def test_of_64_vectors_of_64_bits_no_cheap_statistic_tells():
    instance = sample(LARGE, 1200, 64, "broad")
    items = vectors(LARGE, instance.prompt)
    yes = instance.answer[:, 0] == LARGE.vocab - 1
    met = np.array([row @ row.T for row in items])
    off = met[:, *np.triu_indices(64, k=1)]
    statistics = {
        "ones": items.sum(axis=(1, 2)),
        "columns": items.sum(axis=1).var(axis=1),
        "rows": items.sum(axis=2).var(axis=1),
        "lightest": items.sum(axis=2).min(axis=1),
        "products": off.mean(axis=1),
        "spread": off.var(axis=1),
        "singular": np.linalg.svd(items.astype(float), compute_uv=False)[:, -1],
    }
    area = {name: mannwhitneyu(value[yes], value[~yes]).statistic / 600**2 for name, value in statistics.items()}
    assert all(abs(value - 0.5) < 0.075 for value in area.values()), area  # 4.5 standard errors
    assert mannwhitneyu(off.min(axis=1)[yes], off.min(axis=1)[~yes]).statistic == 0


@pytest.mark.parametrize("dim", [128, 256])
@pytest.mark.parametrize("split", ["boundary", "broad", "natural"])
def test_high_dimensions_are_drawn(dim, split):
    problem = OrthogonalVectors(dim, 0.45, "coordinate")
    instance = sample(problem, 20, 64, split)
    smallest = products(vectors(problem, instance.prompt)).min(axis=1)
    assert np.array_equal(smallest == 0, instance.answer[:, 0] == problem.vocab - 1)


def test_some_are_orthogonal_iff_not_all_are_close():
    rng, wrong, yes = np.random.default_rng(4), 0, 0
    for dim, length, density in [(2, 2, 0.5), (3, 3, 0.6), (4, 5, 0.7), (6, 4, 0.5), (8, 6, 0.6), (12, 3, 0.4)]:
        problem = OrthogonalVectors(dim, tokens="coordinate")
        drawn = (rng.random((600, length * dim)) < density).astype(np.int64)
        prompt = np.concatenate([drawn, problem.sample(rng, 100, length, "boundary").prompt])
        reduced = as_hamming(prompt.reshape(len(prompt), length, dim))
        assert reduced.shape == (len(prompt), 2 * length, 3 * dim + 1)
        far = Pairwise(alpha=2 * dim + 1, values=2, dim=3 * dim + 1, norm="hamming", tokens="coordinate")
        close = far.solve(reduced.reshape(len(prompt), -1))[:, 0] == far.vocab - 1
        orthogonal = problem.solve(prompt)[:, 0] == problem.vocab - 1
        wrong += (close == orthogonal).sum()
        yes += orthogonal.sum()
    assert wrong == 0
    assert 1000 < yes < 3200  # of 4,200


@pytest.mark.parametrize("module", [orthogonal_vectors])
def test_the_example_runs(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tokens": "bits"}, "task.tokens=bits: item and coordinate exist"),
        ({"dim": 1}, "task.dim=1: 2 to 1024"),
        ({"dim": 1025, "tokens": "coordinate"}, "task.dim=1025: 2 to 1024"),
        ({"dim": 17}, r"task.tokens=item: 2\*\*17 vectors are more than 65,536 tokens"),
        ({"density": 0.5}, "task.density=0.5: above 0 and below 0.5"),
        ({"density": float("nan")}, "task.density=nan: above 0"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        OrthogonalVectors(**settings)
