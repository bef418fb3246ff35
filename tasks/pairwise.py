"""Are all pairs closer than alpha? The flagship question, on scalars and on vectors.

Given n vectors of ``dim`` integers in [0, values), answer *yes* iff every two are at distance < alpha. It looks like
n(n-1)/2 comparisons. On scalars, and on vectors in the maximum norm, all are close iff max - min < alpha in each
coordinate, so one pass with two vectors of state decides it:

>>> task = Pairwise(alpha=3, values=8)
>>> prompt = np.array([[4, 2, 3], [5, 2, 3]])  # a twin: one step of one extreme value
>>> [task.word(token) for token in task.solve(prompt)[:, 0]]
['yes', 'no']
>>> task.traces["running_extremes"].steps(prompt)[1].tolist()  # (min, max) so far
[[5, 5], [2, 5], [2, 5]]
>>> task.traces["pairs"].steps(prompt)[1].tolist()  # x_i, x_j, "all close so far?" (8 = no, 9 = yes)
[[5, 2, 8], [5, 3, 8], [2, 3, 8]]

In other norms each vector matters. With alpha = dim, 0-1 vectors are too far apart iff one is another's antipode:

>>> task = Pairwise(alpha=3, values=2, dim=3, norm="hamming")
>>> prompt = np.array([[0b110, 0b011, 0b000], [0b110, 0b011, 0b001]])  # a vector is one token, here written in bits
>>> [task.word(token) for token in (*prompt[1], *task.solve(prompt)[:, 0])]
['(1,1,0)', '(0,1,1)', '(0,0,1)', 'yes', 'no']
>>> task.so_far(prompt).tolist()  # "all close so far?" (8 = no, 9 = yes)
[[9, 9, 9], [9, 9, 8]]

With norm=linf it is the control that is always easy. On natural, the prompts are the same whatever the norm, if values,
dim and tokens are. On the other splits they cannot be: twins and evenly spread diameters belong to a norm, and the
step that turns one answer hardly ever turns the other. 0-1 vectors have no such control: all are at distance 0 or 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import log2

import numpy as np

from tasks.base import Instance, Ints, Task, Theory, Trace, require
from tasks.vectors import Alpha, Ball, Box, Comparison, Cube, Norm, Tokens

NORMS: Mapping[str, type[Norm]] = {"abs": Box, "linf": Box, "l2": Ball, "hamming": Cube}
MOST = 65_536  # vectors that can be tokens of their own


@dataclass(frozen=True)
class Pairwise(Task):
    """All distances < alpha. Tokens: the vectors (or their coordinates), *no*, *yes*, and the alphas that are shown.

    With alpha="prompt" each problem has its own. It is shown as a token before the vectors, or, with ``shots``, it is
    not: as many solved problems of this length come first, each its vectors and its answer, that no other integer fits.
    """

    alpha: int | str = 24  # an integer, or "prompt"
    values: int = 64  # of a coordinate
    dim: int = 1  # coordinates of a vector
    norm: str = "abs"  # of scalars, or linf (largest difference), l2 (Euclidean), hamming (how many bits differ)
    tokens: str = "item"  # a vector is one token, or dim with "coordinate"
    distinct: bool = False  # whether the vectors of a prompt all differ
    shots: int = 0

    version = 1
    golden = {1: "5327afb31dedd0af"}
    shortest = 2
    twin_tokens = 1

    def __post_init__(self):
        values, dim, norm, word = self.values, self.dim, self.norm, isinstance(self.alpha, str)
        require(norm in NORMS, "norm", norm, f"{', '.join(NORMS)} exist")
        require(self.tokens in ("item", "coordinate"), "tokens", self.tokens, "item and coordinate exist")
        require(1 <= dim <= 1024, "dim", dim, "1 to 1024 are possible")
        require(values <= 2**20, "values", values, "at most 1048576 are possible")
        require(dim == 1 or norm != "abs", "dim", dim, "abs compares scalars, 1; linf, l2 and hamming compare vectors")
        require(dim > 1 or norm != "hamming", "dim", dim, "at least 2 coordinates are needed for twins to exist")
        require(values == 2 or norm != "hamming", "values", values, "hamming compares 0-1 vectors, 2 is needed")
        least = 2 if norm == "hamming" or (norm == "l2" and dim > 3) else 3
        require(values >= least, "values", values, f"at least {least} values are needed for twins to exist")
        size, few = f"{values}**{dim} vectors", self.tokens == "coordinate" or values**dim <= MOST
        require(few, "tokens", self.tokens, f"{size} are more than {MOST:,} tokens; coordinate writes them in parts")
        alphas = self._norm.alphas
        possible = f"{alphas[0]} to {alphas[-1]} are possible with task.values={values} and task.dim={dim}"
        reason = "below no twins exist, above every pair is close and the answer is always yes"
        require(self.alpha == "prompt" or not word, "alpha", self.alpha, "an integer is needed, or the word prompt")
        require(word or self.alpha in alphas, "alpha", self.alpha, f"{possible}; {reason}")
        if self.distinct:
            require(norm != "l2", "distinct", True, "how many fit is not known in l2; abs, linf and hamming have it")
            require(values**dim <= 2**62, "distinct", True, f"{size} are more than the 2**62 that can be told apart")
        require(self.shots == 0 or 2 <= self.shots <= 64, "shots", self.shots, "0, or 2 to 64: one cannot tell alpha")
        require(word or not self.shots, "shots", self.shots, "examples tell alpha, so task.alpha=prompt is needed")

    @property
    def theory(self) -> Theory:
        """The bounds of the norm, for each alpha. Exact they are for one alpha that all prompts have."""
        theory = self._norm.theory
        exact = theory.state.exact and self.alpha != "prompt" and not self.distinct
        return replace(theory, state=replace(theory.state, exact=exact))

    @property
    def longest(self) -> int:
        """1,024, or as many distinct vectors as twins can have."""
        largest = self._norm.alphas[-1] if self.alpha == "prompt" else self.alpha
        return min(1024, self._norm.longest(largest)) if self.distinct else 1024

    @property
    def vocab(self) -> int:
        """The vectors or coordinates, two answers, and alphas if the prompt shows one."""
        return self._tokens.no + 2 + (len(self._norm.alphas) if self.alpha == "prompt" and not self.shots else 0)

    @property
    def traces(self) -> Mapping[str, Trace]:
        """Extremes where they decide (a scan, its last line, for scalars a sort), every pair, a scan of answers."""
        limit = None if self.alpha == "prompt" else self._norm.limit(self.alpha)
        compare = Comparison(self._norm, self._tokens, self._question, limit)
        traces = {"pairs": compare.pairs, "scan": compare.scan}
        if self.norm == "abs":
            traces = {"sort_scan": compare.sort_scan} | traces
        if self.norm in ("abs", "linf"):
            traces = {"running_extremes": compare.running_extremes, "extremes": compare.extremes} | traces
        return traces

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. In broad, the diameter is spread evenly below alpha (yes) and from alpha on (no).

        Raises ValueError for an unknown split, and for more distinct vectors than twins can have.
        """
        if self.distinct and length > self.longest:
            raise ValueError(f"length={length}: twins have at most {self.longest} distinct vectors here")
        if split == "boundary":
            alpha = self._drawn_alpha(rng, (size + 1) // 2, length)
            items = self._norm.twins(rng, alpha, (size + 1) // 2, length).reshape(-1, length, self.dim)
            close = np.arange(len(items)) % 2 == 0
        elif split == "broad":
            alpha, close = self._drawn_alpha(rng, size, length), rng.permutation(size) % 2 == 0
            items = self._norm.broad(rng, alpha, close, length)
        elif split == "natural":
            items, alpha = self._norm.natural(rng, size, length), self._drawn_alpha(rng, size, length)
            close = self._norm.diameters(items)[:, -1] < np.ravel(self._norm.limit(alpha))
        else:
            raise ValueError(f"split={split}: boundary, broad and natural exist")
        prompt = self._tokens.line(items)
        if self.alpha == "prompt":
            shown = self._examples(rng, alpha, length) if self.shots else alpha + self._before_alphas
            shown = np.repeat(shown, 2 if split == "boundary" else 1, axis=0)
            prompt = np.concatenate([shown, prompt], axis=1)
        return Instance(prompt[:size], self._verdict(close[:size]))

    def solve(self, prompt: Ints) -> Ints:
        """Compare every vector with every other, (B, P) -> (B, 1)."""
        items, limit = self._question(prompt)
        every = [self._norm.distance(items, items[:, [i]]).max(axis=1) for i in range(items.shape[1])]
        return self._verdict(np.max(every, axis=0) < np.ravel(limit))

    def so_far(self, prompt: Ints) -> Ints:
        """Are all vectors close, up to this one? Told at the last token of each vector of the question, (B, P)."""
        items, limit = self._question(prompt)
        told = self._tokens.told(self._tokens.say(self._norm.diameters(items) < limit))
        shown = prompt.shape[1] - told.shape[1]  # tokens before the question
        return np.pad(told, [(0, 0), (shown, 0)], constant_values=-1)

    def chance(self, length: int) -> float:
        """Two answers."""
        return 0.5

    def classes(self) -> int | None:
        """Residual classes of a one-pass decider that reads vectors, for long prompts; None where not known."""
        return None if self.alpha == "prompt" or self.distinct else self._norm.classes(self.alpha)

    def state_bits(self, length: int) -> float | None:
        """See :meth:`Task.state_bits`."""
        known = self.classes() is not None and self.shots == 0
        return log2(self._norm.classes_within(self.alpha, length)) if known else None

    @classmethod
    def variations(cls) -> tuple["Pairwise", ...]:
        """The hard one, the easy one in as many dimensions, the one between them, and an alpha of each prompt's own."""
        return (
            cls(alpha=8, values=2, dim=8, norm="hamming"),
            cls(alpha=24, values=64, dim=2, norm="linf"),
            cls(alpha=24, values=64, dim=2, norm="l2"),
            cls(alpha="prompt", values=64),
        )

    @classmethod
    def tiny(cls) -> tuple["Pairwise", int]:
        """Six values, four places: 1,296 prompts."""
        return cls(alpha=3, values=6), 4

    def prompts(self, length: int) -> Ints:
        """Every sequence of vectors, after every alpha or after all examples, right and wrong ones."""
        items = [range(self._tokens.no)] * (length * self._tokens.width)
        examples = [*items, range(self._tokens.no, self._tokens.no + 2)] * self.shots
        alphas = [range(self._tokens.no + 2, self.vocab)] * (self.vocab > self._tokens.no + 2)
        return np.array(list(product(*alphas, *examples, *items)), dtype=np.int64)

    def word(self, token: int) -> str:
        """Scalars and coordinates read as numbers, vectors as (0,1,1), answers as words, alphas as alpha=7."""
        token = int(token)
        return self._tokens.word(token) if token < self._tokens.no + 2 else f"alpha={token - self._before_alphas}"

    @property
    def _norm(self) -> Norm:
        return NORMS[self.norm](self.values, self.dim, self.distinct)

    @property
    def _tokens(self) -> Tokens:
        return Tokens.of(self.values, self.dim, self.tokens)

    @property
    def _before_alphas(self) -> int:
        """The token of alpha minus alpha."""
        return self._tokens.no + 2 - self._norm.alphas[0]

    def _verdict(self, close: np.ndarray) -> Ints:
        return self._tokens.say(close)[:, None]

    def _drawn_alpha(self, rng, size, length) -> Alpha:
        """The one that all prompts have, or (size, 1), uniform over those that leave room for distinct vectors."""
        if self.alpha != "prompt":
            return self.alpha
        alphas = self._norm.alphas
        least = next(alpha for alpha in alphas if not self.distinct or self._norm.longest(alpha) >= length)
        return rng.integers(least, alphas.stop, (size, 1))

    def _examples(self, rng, alpha, length) -> Ints:
        """Solved problems, (B, shots * (n W + 1)): a twin, which no other integer fits, others broad, in any order."""
        size, others = len(alpha), self.shots - 2
        close = rng.permutation(size * others) % 2 == 0
        broad = self._norm.broad(rng, np.repeat(alpha, others, axis=0), close, length)
        twins = self._norm.twins(rng, alpha, size, length)
        items = np.concatenate([twins, broad.reshape(size, others, length, self.dim)], axis=1)
        close = np.concatenate([np.tile([True, False], (size, 1)), close.reshape(size, others)], axis=1)
        written = self._tokens.line(items)
        solved = np.concatenate([written, self._tokens.say(close)[..., None]], axis=2)  # (B, shots, n W + 1)
        order = rng.random((size, self.shots, 1)).argsort(axis=1)
        return np.take_along_axis(solved, order, axis=1).reshape(size, self.shots * solved.shape[2])

    def _question(self, prompt) -> tuple[Ints, Alpha]:
        """The vectors asked about, (B, n, d), and the distance from which they are not close."""
        beside = self.shots or int(self.alpha == "prompt")  # tokens that belong to no vector
        width = (prompt.shape[1] - beside) // (self.shots + 1)
        shown, asked = np.split(prompt, [prompt.shape[1] - width], axis=1)
        if self.shots:
            alpha = self._agreed_alpha(shown.reshape(-1, width + 1))
        else:
            alpha = shown - self._before_alphas if self.alpha == "prompt" else self.alpha
        return self._tokens.read(asked), self._norm.limit(alpha)

    def _agreed_alpha(self, examples) -> Ints:
        """The one integer that fits all examples of a prompt, (B * shots, n W + 1) -> (B, 1)."""
        diameter = self._norm.diameters(self._tokens.read(examples[:, :-1]))[:, -1:]
        alphas, close = np.array(self._norm.alphas), examples[:, -1:] > self._tokens.no
        fits = (diameter < self._norm.limit(alphas)) == close
        return alphas[fits.reshape(-1, self.shots, len(alphas)).all(axis=1).argmax(axis=1)][:, None]
