"""Ask a model problems it has not seen: free-running, exact, per split and length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch

from harness.draw import BLOCK, Source
from harness.model.gpt import GPT
from harness.report.stats import wilson
from harness.sequence import Batch


@dataclass(frozen=True)
class Answers:
    """What a model wrote on one batch, item by item."""

    written: np.ndarray  # (B, K·W + 1 + A), ANSWER put in its mouth after the scratchpad
    right_tokens: np.ndarray  # (B, A) bool
    first_error: np.ndarray  # (B,) number of the first wrong step, 0 where all are right
    teacher_forced: np.ndarray  # (B,) bool, right when the true scratchpad is read instead

    @staticmethod
    def join(parts: list["Answers"]) -> "Answers":
        """Blocks of one batch, one after the other."""
        return Answers(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Answers)))


@dataclass(frozen=True)
class Score:
    """Accuracy on one split at one length. Measures of something that does not exist are None."""

    split: str
    length: int
    examples: int
    accuracy: float  # free-running: the model reads its own scratchpad; exact: every answer token right
    accuracy_low: float  # 95 % Wilson interval over the examples
    accuracy_high: float
    teacher_forced: float
    token_accuracy: float  # free-running
    first_error: float | None  # mean number of the first wrong step, where some step is wrong
    chance: float
    majority: float  # share of the commonest answer among these examples
    right: np.ndarray  # (examples,) bool


@torch.no_grad()
def answer(model: GPT, batch: Batch) -> Answers:
    """Let the model write its scratchpad and its answer."""
    written = model.generate(batch.prompt, batch.count, batch.forced)
    same = (written == batch.written).numpy(force=True)
    steps_right = same[:, : batch.scratch].reshape(len(same), -1, batch.step).all(-1)  # (B, K)
    before = np.logical_and.accumulate(steps_right, axis=1).sum(1)  # right steps before the first wrong one
    logits, _ = model(batch.tokens[:, :-1], at=slice(-1 - batch.answer, -1))
    forced = (logits.argmax(-1) == batch.written[:, -batch.answer :]).numpy(force=True)
    return Answers(
        written=written.numpy(force=True),
        right_tokens=same[:, -batch.answer :],
        first_error=np.where(before < steps_right.shape[1], before + 1, 0),
        teacher_forced=forced.all(1),
    )


def evaluate(model: GPT, source: Source, wanted: Iterable[tuple[str, int]], size: int) -> Iterator[Score]:
    """Score the model on ``size`` items of each wanted (split, length)."""
    device = next(model.parameters()).device
    for split, length in wanted:
        batch = source.items(split, length, size)
        blocks = [batch.rows(start, start + BLOCK).to(device) for start in range(0, size, BLOCK)]
        answers = Answers.join([answer(model, block) for block in blocks])
        right = answers.right_tokens.all(1)
        low, high = wilson(right.sum(), size)
        _, commonest = np.unique(batch.written[:, -batch.answer :].numpy(), axis=0, return_counts=True)
        wrong = answers.first_error[answers.first_error > 0]
        yield Score(
            split=split,
            length=length,
            examples=size,
            accuracy=right.mean(),
            accuracy_low=low,
            accuracy_high=high,
            teacher_forced=answers.teacher_forced.mean(),
            token_accuracy=answers.right_tokens.mean(),
            first_error=wrong.mean() if wrong.size else None,
            chance=source.task.chance(length),
            majority=commonest.max() / size,
            right=right,
        )
