"""Ask a model problems it has not seen: free-running, exact, per split and length."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness import squeeze
from harness.attention.base import State
from harness.draw import BLOCK, Source
from harness.model.gpt import GPT
from harness.report.stats import wilson
from harness.sequence import IGNORE, Batch
from harness.squeeze import Code


class Stop(NamedTuple):
    """When a model's scratchpad ends: it is ended after so many steps, or ends itself within them."""

    steps: int | None = None  # None: as many as were trained
    own: bool = False

    def limit(self, batch: Batch) -> int:
        """The most scratch tokens of a batch, those that are given left out."""
        return batch.scratch if self.steps is None else self.steps * batch.step


AS_TRAINED = Stop()


class Question(NamedTuple):
    """What a row of scores is about."""

    split: str
    length: int
    stop: Stop = AS_TRAINED
    bits: int | None = None  # of each number of the state in the middle of the prompt; None: the state as it is
    loops: int | None = None  # after which every position is stopped; None: as the model was trained

    @property
    def prompt(self) -> tuple:
        """Questions that stand next to one another and agree in this are asked of one reading of the prompt."""
        return self.split, self.length, self.bits, self.loops, self.stop if self.bits is not None else None


@dataclass(frozen=True)
class Answers:
    """What a model wrote on one batch, item by item."""

    written: np.ndarray  # (B, ·) scratch tokens, ANSWER, the answer, and whatever a row wrote while others still did
    scratch: np.ndarray  # (B,) scratch tokens before ANSWER
    said: np.ndarray  # (B, A) the answer
    right_tokens: np.ndarray  # (B, A) bool
    first_error: np.ndarray  # (B,) number of the first wrong step, 0 where all are right
    teacher_forced: np.ndarray  # (B,) 1 right, 0 wrong when the true scratchpad is read; NaN beyond its end or squeezed
    dense: np.ndarray  # (B,) share of the answers so far that it has right, NaN where none was trained or squeezed
    loops: np.ndarray  # (B, ·) loops that each token it wrote took, scratchpad, ANSWER and answer

    @staticmethod
    def join(parts: list["Answers"]) -> "Answers":
        """Blocks of one batch, one after the other; what they wrote is as wide as the narrowest."""
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(Answers)}
        for name in ("written", "loops"):
            narrowest = min(part.shape[1] for part in columns[name])
            columns[name] = [part[:, :narrowest] for part in columns[name]]
        return Answers(**{name: np.concatenate(column) for name, column in columns.items()})


@dataclass(frozen=True)
class Score:
    """Accuracy on one split at one length. Measures of something that does not exist are None."""

    split: str
    length: int
    examples: int
    steps: float  # written before the answer, on average where the model ends its scratchpad itself
    scratch_tokens: float  # likewise; filler counts
    accuracy: float  # free-running: the model reads its own scratchpad; exact: every answer token right
    accuracy_low: float  # 95 % Wilson interval over the examples
    accuracy_high: float
    teacher_forced: float | None
    token_accuracy: float  # free-running
    dense_accuracy: float | None  # of the answers so far, over items and places
    first_error: float | None  # mean number of the first wrong step, where some step is wrong
    chance: float
    majority: float  # share of the commonest answer among these examples
    loops_used: float  # by the token of an item that took most, on average
    right: np.ndarray  # (examples,) bool
    scratch: np.ndarray  # (examples,) tokens that were decoded before ANSWER
    loops: np.ndarray  # (examples,) loops of the token that took most


@torch.no_grad()
def answer(
    model: GPT,
    batch: Batch,
    stop: Stop = AS_TRAINED,
    code: Code | None = None,
    state: Sequence[State] | None = None,
) -> Answers:
    """Let the model write its scratchpad and its answer; with a code its state is told in it once, mid-prompt.

    It reads on from a ``state`` of the prompt's first tokens if there is one, which it does not spend.
    """
    size, tokens = batch.answer.shape
    given, true, limit = batch.given, batch.answer, stop.limit(batch)
    if batch.inside:
        written, scratch = batch.written, torch.zeros(size, dtype=torch.long)
        said = forced = model.read(batch.prompt, given, batch.said).argmax(-1)
    else:
        more = {"until": batch.mark, "after": tokens} if stop.own else {}
        if state is not None:
            more["state"] = [_copied(layer) for layer in state]
        if code is not None:
            whole = given + batch.count(limit)
            more["state"] = code.rounded(squeeze.carried(model, batch.prompt, code.cut, whole))
        written = model.generate(batch.prompt, batch.count(limit), batch.forced(limit), **more)
        scratch = (written == batch.mark).int().argmax(1) if stop.own else torch.full((size,), limit)
        scratch = scratch.to(written)
        said = written.gather(1, scratch[:, None] + 1 + torch.arange(tokens).to(written))
        wrote_nothing = limit == 0 and tokens == 1  # before its answer: what it reads is the truth
        forced = said if code or wrote_nothing else _teacher_forced(model, batch, min(limit, batch.scratch))
    asked = (batch.so_far != IGNORE) & (code is None)
    hits = asked
    if asked.any():
        hits = asked & (model.read(batch.prompt, given, slice(None)).argmax(-1) == batch.so_far)
    whole, at = (batch.prompt, batch.said) if batch.inside else _whole(batch, written)
    beyond = code is not None or (not (batch.inside or stop.own) and limit > batch.scratch)
    return Answers(
        written=written.numpy(force=True),
        scratch=scratch.numpy(force=True),
        said=said.numpy(force=True),
        right_tokens=(said == true).numpy(force=True),
        first_error=_first_error(batch, written, scratch).numpy(force=True),
        teacher_forced=np.where(beyond, np.nan, (forced == true).all(1).numpy(force=True)),
        dense=(hits.sum(1) / asked.sum(1)).numpy(force=True),
        loops=model.stops(whole, given, at).numpy(force=True),
    )


def _shared(model: GPT, batch: Batch, stops: Sequence[Stop]) -> list[State] | None:
    """The state of all of a prompt but its last token, with room for the longest of several answers.

    None where it is read for one alone, as a whole, or with other places for another number of tokens.
    """
    if len(stops) == 1 or batch.inside or model.mask != "causal":
        return None
    ends = sorted(batch.given + batch.count(stop.limit(batch)) for stop in stops)
    cut, places = batch.given - 1, [model.position.places(end)[: batch.given] for end in ends]
    if any(not torch.equal(places[0], other) for other in places):
        return None
    return squeeze.carried(model, batch.prompt, cut, ends[-1], ends[-1])


def _copied(layer: State) -> State:
    return layer._make(part.clone() if isinstance(part, Tensor) else part for part in layer)


def _whole(batch: Batch, written: Tensor) -> tuple[Tensor, slice]:
    """The sequence that was read when all of this was written, and the positions at which it was."""
    tokens = torch.cat([batch.prompt, written], 1)[:, :-1]
    return tokens, slice(batch.given - 1, None)


def code_of(model: GPT, source: Source, question: Question) -> Code | None:
    """The code in which the state is told, None if it is left as it is: its ranges are those on validation items.

    Raises ValueError where no state is carried over the middle of a prompt, or answers are said inside it.
    """
    if question.bits is None:
        return None
    batch = source.items("validation", question.length, squeeze.ITEMS).to(next(model.parameters()).device)
    if batch.inside:
        raise ValueError("answers are said inside the prompt, some of them before its middle")
    cut = squeeze.middle(source.task, batch, question.length)
    whole = batch.given + batch.count(question.stop.limit(batch))
    return Code.of(squeeze.carried(model, batch.prompt, cut, whole), question.bits)


def _teacher_forced(model: GPT, batch: Batch, limit: int) -> Tensor:
    """(B, A): the answer after the first ``limit`` tokens of the true scratchpad."""
    given, answer = batch.given, batch.answer.shape[1]
    read = torch.cat([batch.tokens[:, : given + limit], batch.tokens[:, given + batch.scratch : -1]], 1)
    return model.read(read, given, slice(-1 - answer, -1)).argmax(-1)


def _first_error(batch: Batch, written: Tensor, scratch: Tensor) -> Tensor:
    """(B,): the number of the first step that is not the true one, 0 where there is none."""
    shared = min(batch.scratch, written.shape[1]) // batch.step * batch.step
    same = written[:, :shared] == batch.written[:, :shared]
    right = same.view(len(written), -1, batch.step).all(-1)
    before = right.long().cumprod(1).sum(1)
    whole = torch.full_like(scratch, batch.scratch)
    return torch.where(before * batch.step < torch.minimum(scratch, whole), before + 1, 0)


def evaluate(model: GPT, source: Source, asked: Iterable[Question], size: int) -> Iterator[Score]:
    """Score the model on ``size`` items of each question."""
    device = next(model.parameters()).device
    for (split, length, _, loops, _), same in groupby(asked, key=lambda question: question.prompt):
        questions, asked_of = list(same), model if loops is None else model.looped(loops)
        code, batch = code_of(asked_of, source, questions[0]), source.items(split, length, size)
        stops, parts = [question.stop for question in questions], [[] for _ in questions]
        for start in range(0, size, BLOCK):
            rows = batch.rows(start, start + BLOCK).to(device)
            state = _shared(asked_of, rows, stops)
            for stop, found in zip(stops, parts, strict=True):
                found.append(answer(asked_of, rows, stop, code, state))
        yield from (
            _score(source, question, batch, Answers.join(of_it))
            for question, of_it in zip(questions, parts, strict=True)
        )


def _score(source: Source, question: Question, batch: Batch, answers: Answers) -> Score:
    """What the answers to all items come to."""
    size, right, wrong = len(batch.tokens), answers.right_tokens.all(1), answers.first_error[answers.first_error > 0]
    low, high = wilson(right.sum(), size)
    _, commonest = np.unique(batch.answer.numpy(), axis=0, return_counts=True)
    filler = source.scratchpad.tokens(source.task, question.length) - batch.scratch
    return Score(
        split=question.split,
        length=question.length,
        examples=size,
        steps=plain(np.ceil(answers.scratch / batch.step).mean() + filler),
        scratch_tokens=plain(answers.scratch.mean() + filler),
        accuracy=right.mean(),
        accuracy_low=low,
        accuracy_high=high,
        teacher_forced=_known(answers.teacher_forced),
        token_accuracy=answers.right_tokens.mean(),
        dense_accuracy=_known(answers.dense),
        first_error=wrong.mean() if wrong.size else None,
        chance=source.task.chance(question.length),
        majority=commonest.max() / size,
        loops_used=plain(answers.loops.max(1).mean()),
        right=right,
        scratch=answers.scratch,
        loops=answers.loops.max(1),
    )


def _known(values: np.ndarray) -> float | None:
    return None if np.isnan(values).any() else values.mean()


def plain(value: float) -> float:
    """A whole number as an int."""
    return int(value) if float(value).is_integer() else float(value)
