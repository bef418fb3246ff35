"""Does an item repeat? Sorting as a trace: whatever is equal comes to stand side by side.

>>> record = sorting(items=lambda prompt: prompt, say=lambda found: 8 + found)  # 8 = no, 9 = yes
>>> record.steps(np.array([[5, 2, 7, 5]]))[0].tolist()
[[2, 8], [5, 8], [5, 9], [7, 9]]
"""

from collections.abc import Callable

import numpy as np

from tasks.base import Ints, Trace


def sorting(items: Callable[[Ints], Ints], say: Callable[[np.ndarray], Ints]) -> Trace:
    """The n = length items (B, P) -> (B, n) in order, each with "is one equal to the one before it, so far?": n steps.

    ``say`` makes the token of found or not found, that of the last step is the answer.
    """

    def steps(prompt):
        ordered = np.sort(items(prompt), axis=1)
        equal = np.diff(ordered, axis=1, prepend=-1) == 0
        return np.stack([ordered, say(np.logical_or.accumulate(equal, axis=1))], axis=2)

    def following(prompt, done):
        unsorted = items(prompt)
        last = done[:, -1:, 0] if done.shape[1] else np.full((len(prompt), 1), -1)
        again = (unsorted == last).sum(axis=1) > (done[:, :, 0] == last).sum(axis=1)  # as often as it is in the prompt
        above = np.where(unsorted > last, unsorted, np.iinfo(np.int64).max).min(axis=1)
        found = again | (done[:, -1:, 1] == say(np.array(True))).any(axis=1)
        return np.column_stack([np.where(again, last[:, 0], above), say(found)])

    return Trace(
        width=2,
        law="n",
        count=lambda length: length,
        steps=steps,
        next=following,
        read=lambda steps: steps[:, -1, 1:],
    )
