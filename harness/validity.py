"""Is a task a test of anything? What can be known of it before a model is trained, at the lengths that will be asked.

A point, a split at a length, is uninformative where its answer never changes or cannot be known where it is said, where
a cheap rule is within 10 points of perfect, and where the strongest model that was trained on it sits at chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from tqdm import tqdm

from harness import baselines, store
from harness.catalogue import aligned
from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.report.select import untouched
from harness.sequence import encode, vocabulary
from harness.settings import Experiment
from tasks import shortcuts
from tasks.base import SPLITS, Instance, Task
from tasks.draws import MANY, draw

NEARLY = 0.90  # a rule that is right so often leaves a model little to show


@dataclass(frozen=True)
class Point:
    """One split at one length: what the test items are like, and how far cheap rules go."""

    split: str
    length: int
    tokens: int  # that a model reads for one problem
    answers: int  # different ones among the test items
    majority: float  # share of the commonest
    commonest: float  # share of the answer tokens that are the commonest in their place
    constant: float  # share of the answer's tokens that never change
    unreachable: float  # share of answer tokens that differ although all that may be read before them is the same
    oracle: float  # accuracy of a solver in place of the model
    seen: float  # share of the test prompts that training draws
    rules: Mapping[str, float]  # accuracy of each cheap rule; of the twins and of broad
    best: float | None  # accuracy of the strongest recorded run
    at_chance: bool  # whether the interval of that accuracy includes chance, or lies below

    @property
    def strongest(self) -> tuple[str, float]:
        """The cheap rule that goes furthest; saying what is commonest in each place is one."""
        return max([("majority", self.commonest), *self.rules.items()], key=lambda rule: rule[1])


class Oracle:
    """A solver that is asked as a model is: it is handed tokens; what it says is decoded and judged as a model's."""

    def __init__(self, source: Source, length: int):
        self.source, self.length = source, length
        self.places = source.instances(SPLITS[0], length, 1).prompt.shape[1]  # P

    def parameters(self) -> Iterator[Tensor]:
        """On the CPU."""
        yield torch.zeros(())

    def generate(self, given: Tensor, count: int, forced: Mapping[int, int]) -> Tensor:
        """(B, given) -> (B, count): the scratchpad, ANSWER, the answer."""
        return self._whole(given)[:, given.shape[1] :][:, :count]

    def read(self, tokens: Tensor, given: int, at: slice | Tensor) -> Tensor:
        """Logits (B, N, V) at the positions ``at``: certain of the next token, or of the answer that is said there."""
        if isinstance(at, Tensor):
            said = torch.from_numpy(self._solved(tokens).answer)
        else:
            said = self._whole(tokens)[:, 1 : tokens.shape[1] + 1][:, at]
        return one_hot(said, vocabulary(self.source.task)).float()

    def stops(self, tokens: Tensor, given: int, at: slice | Tensor) -> Tensor:
        """(B, T) -> (B, N): it has one loop."""
        return torch.ones_like(at if isinstance(at, Tensor) else tokens[:, at])

    def _whole(self, given: Tensor) -> Tensor:
        """The sequence that begins with what is given."""
        return encode(self.source.task, self.source.scratchpad, self._solved(given), self.length).tokens

    def _solved(self, given: Tensor) -> Instance:
        prompt = given[:, 1 : 1 + self.places].numpy()
        return Instance(prompt, self.source.task.solve(prompt))


def points(experiment: Experiment, results: Sequence[Path] = (), quiet: bool = False) -> list[Point]:
    """A point for each split and evaluated length of an experiment, which is not run."""
    source, size, lengths = Source.of(experiment), experiment.evaluate.examples, sorted(experiment.evaluate.lengths)
    source = replace(source, objective="answer", dense=False)
    asked = list(product(SPLITS, lengths))
    items = {place: source.instances(*place, size) for place in tqdm(asked, desc="items", disable=quiet or None)}
    seen = _seen(experiment, source, items, quiet)
    best = _best(experiment, results)
    hidden = {length: unreachable(experiment.task, length, experiment.mask) for length in lengths}
    found = []
    for split, length in tqdm(asked, desc="rules", disable=quiet or None):
        test = items[split, length]
        (score,) = evaluate(Oracle(source, length), source, [Question(split, length)], size)
        accuracy, low = best.get((split, length), (None, 1.0))
        found.append(
            Point(
                split=split,
                length=length,
                tokens=experiment.tokens(length),
                answers=len(np.unique(test.answer, axis=0)),
                majority=float(score.majority),
                commonest=baselines.majority(test.answer),
                constant=float((test.answer == test.answer[:1]).all(axis=0).mean()),
                unreachable=hidden[length],
                oracle=float(score.accuracy),
                seen=seen[split, length],
                rules=_rules(experiment.task, length, split) if split != "natural" else {},
                best=accuracy,
                at_chance=low <= score.chance,
            )
        )
    return found


def unreachable(task: Task, length: int, mask: str) -> float:
    """Share of answer tokens in which twins differ although all that may be read where they are said is the same."""
    twins = draw(task, length, "boundary", MANY // 8)
    if twins.at is None:
        return 0.0
    same = np.logical_and.accumulate(twins.prompt[::2] == twins.prompt[1::2], axis=1)
    last = np.full_like(twins.at[::2], twins.prompt.shape[1] - 1) if mask == "prefix" else twins.at[::2]
    alike = np.take_along_axis(same, last, axis=1) & (twins.at[::2] == twins.at[1::2])
    return float((alike & (twins.answer[::2] != twins.answer[1::2])).mean())


def _rules(task: Task, length: int, split: str) -> dict[str, float]:
    seen, fresh = (draw(task, length, split, MANY, stream) for stream in (1, 2))
    return shortcuts.scores(seen, fresh) | baselines.scores(seen, fresh)


def _seen(experiment: Experiment, source: Source, items: Mapping, quiet: bool) -> dict[tuple[str, int], float]:
    """The share of each point's prompts that training draws, every update of it."""
    train, drawn = experiment.train, {length: set() for _, length in items}
    for update in tqdm(range(train.updates), desc="training prompts", disable=quiet or None):
        length = source.trained_length(update, train.lengths)
        if length in drawn:
            drawn[length].update(map(bytes, source.trained(length, train.batch, train.mix, update).prompt))
    return {
        (split, length): float(np.mean([bytes(prompt) in drawn[length] for prompt in test.prompt]))
        for (split, length), test in items.items()
    }


def _best(experiment: Experiment, results: Sequence[Path]) -> dict[tuple[str, int], tuple[float, float]]:
    """(split, length) -> accuracy, and its lower end, of the strongest recorded run on these settings of the task."""
    best: dict[tuple[str, int], tuple[float, float]] = {}
    wanted = store.to_json(experiment.settings()["task"])
    for folder in (folder for root in results for folder in store.runs(root)):
        try:
            if store.to_json(store.load_settings(folder)["task"]) != wanted:
                continue
            rows = untouched(store.read_run(folder)).dropna(subset=["accuracy"], ignore_index=True)
        except (store.Corrupt, KeyError):  # an ill run has no scores; `compare` names it
            continue
        for row in rows.to_dict("records"):
            place = row["split"], row["length"]
            best[place] = max(best.get(place, (0.0, 0.0)), (row["accuracy"], row["accuracy_low"]))
    return best


def lines(experiment: Experiment, found: Sequence[Point]) -> Iterator[str]:
    """The report in lines: a table of points, a table of rules for each split, one sentence of verdict."""
    task, lengths = experiment.task, sorted({point.length for point in found})
    yield f"validity of {experiment.task_name}: mask={experiment.mask}, {experiment.evaluate.examples} test items each"
    heading = "split length tokens answers majority constant unreachable oracle seen strongest-rule best-run".split()
    yield aligned([["  " + heading[0], *heading[1:]], *map(_cells, found)])
    for split in SPLITS[:2]:
        at = {point.length: point for point in found if point.split == split}
        yield ""
        yield f"cheap rules on {split}, by length; trained ones by token (chance {_chances(task, lengths)})"
        names = dict.fromkeys(name for point in at.values() for name in point.rules)
        table = [[f"  {name}", *(f"{at[n].rules[name]:.2f}" for n in lengths)] for name in names]
        yield aligned([["  ", *map(str, lengths)], *table])
    yield ""
    yield verdict(task, found)


def _cells(point: Point) -> list[str]:
    name, score = point.strongest
    measures = (point.majority, point.constant, point.unreachable, point.oracle, point.seen)
    shown = [str(number) for number in (point.length, point.tokens, point.answers)] + [f"{m:.3f}" for m in measures]
    best = "none" if point.best is None else f"{point.best:.3f}" + (" (chance)" if point.at_chance else "")
    return [f"  {point.split}", *shown, f"{name} {score:.2f}", best]


def _chances(task: Task, lengths: Sequence[int]) -> str:
    chances = [f"{task.chance(length):.2g}" for length in lengths]
    return chances[0] if len(set(chances)) == 1 else ", ".join(chances)


def verdict(task: Task, found: Sequence[Point]) -> str:
    """One sentence: where the twins and broad are a test, where they are uninformative, and why."""
    judged = [point for point in found if point.split in SPLITS[:2]]
    reasons: dict[str, dict[str, list[int]]] = {}
    for point in judged:
        reasons.setdefault(_reason(task, point), {}).setdefault(point.split, []).append(point.length)
    clauses = [
        f"{why or 'informative'} on " + " and ".join(f"{split} {_listed(at)}" for split, at in where.items())
        for why, where in sorted(reasons.items(), key=lambda clause: clause[0] != "")
    ]
    known = [f"{point.split} {point.length}" for point in judged if point.seen >= 0.5]
    if known:
        clauses.append(
            f"training draws half of the test prompts or more on {', '.join(known)}: memory may answer there"
        )
    if "" in reasons and task.shortcuts:
        clauses.append(f"the task names {', '.join(task.shortcuts)} as solving it by nature")
    if "" in reasons and all(point.best is None for point in judged):
        clauses.append("no run is recorded, so whether it is learned is open")
    return f"Verdict: {'; '.join(clauses)}."


def _listed(lengths: Sequence[int]) -> str:
    return f"at {'length' if len(lengths) == 1 else 'lengths'} {', '.join(map(str, lengths))}"


def _reason(task: Task, point: Point) -> str:
    """Why a point is uninformative, in words that do not name the point; empty where it is not."""
    name, score = point.strongest
    if point.oracle < 1:
        return "broken (the solver is not always right)"
    if point.unreachable:
        return "uninformative (answers cannot be known where they are said, under this mask)"
    if point.constant == 1 or point.answers == 1:
        return "uninformative (the answer never changes)"
    if score >= NEARLY:
        nature = ", and solves the problem by its nature" if name in task.shortcuts else ""
        return f"uninformative (the cheap rule {name} is within 10 points of perfect{nature})"
    if point.best is not None and point.at_chance:
        return "uninformative (the strongest recorded run sits at chance)"
    return ""
