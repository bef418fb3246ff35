"""Questions that are answered with yes or no: what they all share, so that a problem states its mathematics alone.

A subclass says how to draw twins, prompts with a wanted answer, and unconditioned ones. Its own tokens come first,
*no* and *yes* are the two after them.
"""

from abc import abstractmethod

import numpy as np

from tasks.base import Instance, Ints, Task


class Decision(Task):
    """A problem whose answer is *no* or *yes*, said after the prompt.

    Shape letters: ``B`` prompts · ``P`` tokens of a prompt.
    """

    @property
    @abstractmethod
    def symbols(self) -> int:
        """Number of tokens that prompts and traces are written in, without *no* and *yes*."""

    @abstractmethod
    def twins(self, rng: np.random.Generator, pairs: int, length: int) -> Ints:
        """(pairs, 2, P): the first row of each twin is a yes, the second a no, the smallest edit apart."""

    @abstractmethod
    def broad(self, rng: np.random.Generator, yes: np.ndarray, length: int) -> Ints:
        """(B, P): row i is answered with yes where ``yes[i]``, the distance from the boundary spread evenly."""

    @abstractmethod
    def natural(self, rng: np.random.Generator, size: int, length: int) -> Ints:
        """(B, P): unconditioned."""

    @abstractmethod
    def holds(self, prompt: Ints) -> np.ndarray:
        """(B,) bool: is the answer yes? As fast as may be; ``solve`` is the slow and obvious one."""

    @property
    def vocab(self) -> int:
        """The prompt's tokens and two answers."""
        return self.symbols + 2

    def say(self, yes: np.ndarray) -> Ints:
        """True becomes *yes*, false *no*."""
        return self.symbols + np.asarray(yes).astype(np.int64)

    def sample(self, rng: np.random.Generator, size: int, length: int, split: str) -> Instance:
        """See :meth:`Task.sample`. Raises ValueError for an unknown split or an impossible length."""
        self.refuse(length, split)
        if split == "boundary":
            pairs = self.twins(rng, (size + 1) // 2, length)
            prompt, yes = pairs.reshape(-1, pairs.shape[-1])[:size], np.arange(size) % 2 == 0
        elif split == "broad":
            yes = (rng.permutation(size) + rng.integers(2)) % 2 == 0  # of an odd size, either may get one more
            prompt = self.broad(rng, yes, length)
        else:
            prompt = self.natural(rng, size, length)
            yes = self.holds(prompt)
        return Instance(prompt, self.say(yes)[:, None])

    def chance(self, length: int) -> float:
        """Two answers."""
        return 0.5

    def word(self, token: int) -> str:
        """Answers read as words, the prompt's tokens as :meth:`symbol` says."""
        return self.symbol(int(token)) if token < self.symbols else ("no", "yes")[int(token) - self.symbols]

    def symbol(self, token: int) -> str:
        """How one of the prompt's tokens reads to a person."""
        return str(token)
