"""Where does a walk of t hops end? One hop after another, or by doubling: two ways to follow pointers, as traces.

Places are 0 .. n. Each points to a place, and place 0, where walks end, to itself. Shape letters: ``B`` prompts ·
``n`` places that can be left · ``m`` places of any kind · ``W`` tokens by which a place is written.

>>> four = Pointers(  # each token but the last points to a place; the last says where to begin
...     follow=lambda prompt: np.pad(prompt[:, :-1], [(0, 0), (1, 0)]),
...     hop=lambda prompt, place: np.where(place, np.take_along_axis(prompt, np.maximum(place - 1, 0), axis=1), 0),
...     begin=lambda prompt: (prompt[:, -1:], np.full((len(prompt), 1), 3)),
...     places=lambda tokens: tokens - 1,
...     most=3,
...     write=lambda prompt, places: places[..., None],
...     read=lambda prompt, written: written[..., 0],
...     answer=lambda steps: steps[:, -1],
...     letter="t",
... )
>>> prompt = np.array([[3, 0, 4, 2, 1]])  # 1 -> 3 -> 4 -> 2 -> 0
>>> four.walk.steps(prompt)[0].ravel().tolist()
[3, 4, 2]
>>> four.doubling.steps(prompt)[0].reshape(-1, 5).tolist()  # a hop from each place, and from 1; two, and from 3
[[3, 0, 4, 2, 3], [4, 0, 2, 0, 2]]
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.base import Ints, Trace


@dataclass(frozen=True)
class Pointers:
    """A walk that each prompt asks for. Of no prompt it has more than ``most`` hops."""

    follow: Callable[[Ints], Ints]  # (B, P) -> (B, n + 1): where each place points to
    hop: Callable[[Ints, Ints], Ints]  # (B, P), places (B, 1) -> (B, 1): the same of one place, looked up in the prompt
    begin: Callable[[Ints], tuple[Ints, Ints]]  # (B, P) -> the first place (B, 1), the number of hops (B, 1)
    places: Callable[[int], int]  # P -> n
    most: int
    write: Callable[[Ints, Ints], Ints]  # (B, P), places (B, m) -> (B, m, W)
    read: Callable[[Ints, Ints], Ints]  # its inverse: (B, P), (B, m, W) -> (B, m)
    answer: Callable[[Ints], Ints]  # (B, S, W) -> (B, A): the answer, when the last step is where the walk ends
    letter: str  # of the number of hops, in laws
    width: int = 1  # W

    @property
    def walk(self) -> Trace:
        """The place after each hop; when the walk has come to its end, that place again."""
        return Trace(
            width=self.width,
            law=self.letter,
            count=lambda length: self.most,
            steps=self._walk,
            next=self._next_hop,
            read=self.answer,
        )

    @property
    def doubling(self) -> Trace:
        """Where 1, 2, 4, .. hops from each place end; after each of these rounds, where the walk is by then."""
        return Trace(
            width=self.width,
            law=f"(n+1)(⌊log2 {self.letter}⌋ + 1)",
            count=lambda length: (length + 1) * self.most.bit_length(),
            steps=self._double,
            next=self._next_doubled,
            read=self.answer,
        )

    def ends(self, prompt: Ints, places: Ints) -> Ints:
        """Where the walk ends, if it begins at these places, (B, P), (B, m) -> (B, m)."""
        *_, (_, ends) = self._rounds(prompt, places)
        return ends

    def _rounds(self, prompt, places):
        """For r = 0, 1, ..: where 2^r hops from any place end, (B, n + 1), and t mod 2^(r+1) hops from these."""
        jumps, (_, hops), rows = self.follow(prompt), self.begin(prompt), np.arange(len(prompt))[:, None]
        for bit in range(self.most.bit_length()):
            jumps = jumps[rows, jumps] if bit else jumps
            places = np.where(hops >> bit & 1, jumps[rows, places], places)
            yield jumps, places

    def _double(self, prompt):
        start, _ = self.begin(prompt)
        rounds = [(jumps[:, 1:], ends) for jumps, ends in self._rounds(prompt, start)]
        return self.write(prompt, np.concatenate([places for both in rounds for places in both], axis=1))

    def _next_doubled(self, prompt, done):
        (place, hops), n = self.begin(prompt), self.places(prompt.shape[1])
        number, step = divmod(done.shape[1], n + 1)
        recent = self.read(prompt, done[:, max(number - 1, 0) * (n + 1) :])  # the round before, and this one
        if step == n:
            place = recent[:, [n]] if number else place
            place = np.where(hops >> number & 1, _of(recent[:, -n:], place), place)
        elif number:
            place = _of(recent, recent[:, [step]])
        else:
            place = self.hop(prompt, np.full_like(place, step + 1))
        return self.write(prompt, place)[:, 0]

    def _walk(self, prompt):
        jumps, (place, hops) = self.follow(prompt), self.begin(prompt)
        places = []
        for hop in range(self.most):
            place = np.where(hop < hops, np.take_along_axis(jumps, place, axis=1), place)
            places.append(place)
        return self.write(prompt, np.concatenate(places, axis=1))

    def _next_hop(self, prompt, done):
        place, hops = self.begin(prompt)
        if done.shape[1]:
            place = self.read(prompt, done[:, -1:])
        return self.write(prompt, np.where(done.shape[1] < hops, self.hop(prompt, place), place))[:, 0]


def _of(jumps: Ints, place: Ints) -> Ints:
    """(B, 1): where the jumps (B, >= n) from 1 .. n take a place; place 0 stays."""
    return np.where(place, np.take_along_axis(jumps, np.maximum(place - 1, 0), axis=1), 0)
