"""Edit distance of many pairs of strings at once, and of each with one character changed.

Strings are columns: two of them are (2, n, B), of small integers.

>>> abc, bcd, bbd = [0, 1, 2], [1, 2, 3], [1, 1, 3]
>>> pairs = np.array([[abc, abc], [bcd, bbd]], dtype=np.int8).swapaxes(1, 2)
>>> align = Alignment(insert=2, replace=3)
>>> align.cost(pairs).tolist()
[4, 6]
>>> align.table(pairs)[:, :, 0].tolist()
[[0, 2, 4, 6], [2, 3, 5, 7], [4, 2, 4, 6], [6, 4, 2, 4]]
>>> align.cost_with(pairs[..., :1], kinds=4)[:, :, 0].tolist()  # a, b, c, d in place of the 1st, 2nd, 3rd character
[[4, 7, 7], [4, 4, 7], [4, 6, 4], [4, 7, 4]]
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.base import Ints


@dataclass(frozen=True)
class Alignment:
    """What it costs to turn the first string into the second.

    Inside, cells hold what is saved against deleting all and inserting all. A character that is kept saves that it is
    deleted and inserted, one that is replaced saves ``spared``.
    """

    insert: int  # or delete
    replace: int

    @property
    def spared(self) -> int:
        """By replacing a character, against deleting it and inserting another."""
        return 2 * self.insert - self.replace

    def cost(self, strings: Ints) -> Ints:
        """(2, n, B) -> (B,)."""
        *_, last = self._diagonals(strings)
        return 2 * self.insert * strings.shape[1] - last[-1]

    def table(self, strings: Ints) -> Ints:
        """Of the first i characters into the first j, (n + 1, n + 1, B)."""
        rows, columns = np.indices((strings.shape[1] + 1,) * 2)
        return self.insert * (rows + columns)[..., None] - self._saved(strings)

    def cost_with(self, strings: Ints, kinds: int) -> Ints:
        """The cost if character i of the first string were another one, any of ``kinds``, (kinds, n, B).

        A path through the table comes to character i, deletes or aligns it, and goes on. One table holds the best ways
        to each cell, another those from each cell, and all answers lie where they meet.
        """
        kept, spared = np.int16(2 * self.insert), np.int16(self.spared)
        before, behind = np.split(self._saved(np.concatenate([strings, strings[:, ::-1]], axis=2)), 2, axis=2)
        behind = behind[::-1, ::-1]
        deleted = (before[:-1] + behind[1:]).max(axis=1)
        aligned = before[:-1, :-1] + behind[1:, 1:]  # (n, n, B)
        replaced = np.maximum(deleted, aligned.max(axis=1) + spared)
        never = -kept * np.int16(strings.shape[1])  # so little that to delete the character saves more
        same = [(aligned + np.where(strings[1] == one, kept, never)).max(axis=1) for one in range(kinds)]
        return kept * strings.shape[1] - np.maximum(replaced, same)

    def _saved(self, strings) -> Ints:
        """(n + 1, n + 1, B)."""
        rows, columns = np.indices((strings.shape[1] + 1,) * 2)
        return np.stack(list(self._diagonals(strings)))[rows + columns, rows]

    def _diagonals(self, strings) -> Iterator[Ints]:
        """The table anti-diagonal after anti-diagonal, (n + 1, B) each: cell (i, j) is in place i of number i + j."""
        (x, y), length = strings, strings.shape[1]
        y, spared, more = y[::-1].copy(), np.int16(self.spared), np.int16(2 * self.insert - self.spared)
        before = last = np.zeros((length + 1, strings.shape[2]), dtype=np.int16)
        yield before
        for number in range(1, 2 * length + 1):
            start, end = max(1, number - length), min(number - 1, length) + 1  # at the edges nothing is saved
            same = x[start - 1 : end - 1] == y[length - number + start : length - number + end]
            aligned = same.astype(np.int16)
            aligned *= more
            aligned += before[start - 1 : end - 1]
            aligned += spared
            here = np.zeros(last.shape, dtype=np.int16)
            inner = np.maximum(last[start:end], last[start - 1 : end - 1], out=here[start:end])
            np.maximum(inner, aligned, out=inner)
            before, last = last, here
            yield here
