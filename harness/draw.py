"""Which problems are drawn, and from which random stream: training batches, the validation items, the test items."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness import signals
from harness.scratchpad import Scratchpad
from harness.seeding import rng
from harness.sequence import Batch, encode
from harness.settings import Experiment
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
    objective: str = "answer"  # of the training batches
    dense: bool = False  # likewise

    @classmethod
    def of(cls, experiment: Experiment) -> "Source":
        """The problems of a run."""
        train = experiment.train
        return cls(experiment.task, experiment.scratchpad, experiment.seed, train.objective, train.dense)

    def training(self, update: int, lengths: tuple[int, ...], size: int, mix: float) -> tuple[int, Batch]:
        """The length of one update, each equally often, and its batch."""
        length = self.trained_length(update, lengths)
        return length, self.batch(length, size, mix, update)

    def trained_length(self, update: int, lengths: tuple[int, ...]) -> int:
        """The length of one update."""
        return lengths[int(rng(self.seed, "train/length", update).integers(len(lengths)))]

    def batch(self, length: int, size: int, mix: float = 0.5, update: int = 0) -> Batch:
        """A training batch of this length: a share ``mix`` of boundary twins, the rest broad."""
        drawn = self.trained(length, size, mix, update)
        return encode(self.task, self.scratchpad, drawn, length, self.objective, self.dense)

    def trained(self, length: int, size: int, mix: float, update: int) -> Instance:
        """The problems of a training batch."""
        return self._mixture("train", update, length, size, mix)

    def items(self, split: str, length: int, size: int) -> Batch:
        """The items of a split as sequences, of which the model has to say scratchpad and answer."""
        return encode(self.task, self.scratchpad, self.instances(split, length, size), length, dense=self.dense)

    def loss_floor(self, lengths: tuple[int, ...]) -> float | None:
        """Nats per supervised token that no model can do without, where it is known: the entropy of what is drawn.

        Only prompts are random, so only the objective *sequence* has one, and only where no answer is said in place of
        a prompt's token. It is exact at one length; with several it is that of a model that knows the length: a bound.
        """
        if self.objective != "sequence":
            return None
        entropies, batches = [self.task.entropy(length) for length in lengths], [self.batch(n, 2) for n in lengths]
        if None in entropies or batches[0].inside:
            return None
        tokens = [batch.labels.shape[1] for batch in batches]
        return sum(nats / count for nats, count in zip(entropies, tokens, strict=True)) / len(lengths)

    def instances(self, split: str, length: int, size: int) -> Instance:
        """The items of a split; ``validation`` is half boundary, half broad, from a stream that no test item shares."""
        if split == "validation":
            return self._mixture("validation", 0, length, size, 0.5)
        stream, blocks = f"test/{split}/{length}", range(-(-size // BLOCK))
        drawn = _joined(self._block(stream, block, length, split) for block in blocks)
        return Instance(*(part if part is None else part[:size] for part in (drawn.prompt, drawn.answer, drawn.at)))

    def _mixture(self, stream: str, index: int, length: int, size: int, mix: float) -> Instance:
        boundary = round(size * mix)
        return _joined(
            self._sample(f"{stream}/{split}/{length}", index, share, length, split)
            for split, share in (("boundary", boundary), ("broad", size - boundary))
            if share
        )

    def _block(self, stream: str, index: int, length: int, split: str) -> Instance:
        signals.check()
        return self._sample(stream, index, BLOCK, length, split)

    def _sample(self, stream: str, index: int, size: int, length: int, split: str) -> Instance:
        return self.task.sample(rng(self.seed, stream, index), size, length, split)


def _joined(parts: Iterable[Instance]) -> Instance:
    """Instances of one length, one after the other."""
    columns = zip(*((part.prompt, part.answer, part.at) for part in parts), strict=True)
    return Instance(*(None if column[0] is None else np.concatenate(column) for column in columns))
