"""Which problems are drawn, and from which random stream: training batches, the validation items, the test items."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.scratchpad import Scratchpad
from harness.seeding import rng
from harness.sequence import Batch, encode
from tasks.base import Instance, Task

BLOCK = 250  # test items drawn at once, and decoded at once


@dataclass(frozen=True)
class Source:
    """One run's problems. Test items depend on (seed, split, length) alone, so all models are asked the same.

    They are drawn in blocks, so fewer items are the first of more.
    """

    task: Task
    scratchpad: Scratchpad
    seed: int

    def training(self, update: int, lengths: tuple[int, ...], size: int, mix: float) -> tuple[int, Batch]:
        """The length and the batch of one update: a share ``mix`` of boundary twins, the rest broad."""
        length = int(rng(self.seed, "train/length", update).choice(lengths))
        return length, self._encode(self._mixture("train", update, length, size, mix), length)

    def items(self, split: str, length: int, size: int) -> Batch:
        """The items of a split as sequences."""
        return self._encode(self.instances(split, length, size), length)

    def instances(self, split: str, length: int, size: int) -> Instance:
        """The items of a split; ``validation`` is half boundary, half broad, from a stream that no test item shares."""
        if split == "validation":
            return self._mixture("validation", 0, length, size, 0.5)
        stream, blocks = f"test/{split}/{length}", range(-(-size // BLOCK))
        drawn = _joined(self._sample(stream, block, BLOCK, length, split) for block in blocks)
        return Instance(drawn.prompt[:size], drawn.answer[:size])

    def _mixture(self, stream: str, index: int, length: int, size: int, mix: float) -> Instance:
        boundary = round(size * mix)
        return _joined(
            self._sample(f"{stream}/{split}/{length}", index, share, length, split)
            for split, share in (("boundary", boundary), ("broad", size - boundary))
            if share
        )

    def _sample(self, stream: str, index: int, size: int, length: int, split: str) -> Instance:
        return self.task.sample(rng(self.seed, stream, index), size, length, split)

    def _encode(self, instance: Instance, length: int) -> Batch:
        return encode(self.task, self.scratchpad, instance, length)


def _joined(parts: Iterable[Instance]) -> Instance:
    """Instances of one length, one after the other."""
    parts = list(parts)
    return Instance(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("prompt", "answer")))
