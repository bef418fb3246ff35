"""A run's training, from its beginning or its last checkpoint to its end: fit, validate, save, and what is left of it.

Nothing here is random but what ``rng(seed, stream, index)`` draws for an update by its number. So a checkpoint holds no
random state: the weights, the optimizer's moments and the journal are all that the rest of a training depends on.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path

import torch
from numpy.random import Generator
from torch import Tensor
from torch.optim import Optimizer
from tqdm import tqdm

from harness import cost, signals, store, train
from harness.draw import Source
from harness.evaluate import Question, evaluate
from harness.model import GPT, Position
from harness.seeding import rng
from harness.sequence import Batch
from harness.settings import Experiment
from harness.store import Checkpoint, Json

LOGGED = 10  # every so many updates there is a row in curve.csv
AHEAD = 8  # batches drawn in a row, which costs less than one at a time between updates: code stays in the cache
SAVED = 30.0  # after so many seconds there is another checkpoint, with or without a validation
CURVE = "update length loss gradient_norm learning_rate validation train_flops seconds".split()
PLACES = "places"  # the stream of where an update's tokens stand
POSITIONS = "position norm norm_at_start updates trained".split()

Drawn = tuple[int, Batch, Generator]  # the length of an update, its batch, and the generator of where its tokens stand


@dataclass
class Journal:
    """What has happened so far."""

    norms: Tensor | None  # of the vector at each place at the start, None where nothing is added
    done: train.Progress | None = None  # the update that the checkpoint was made after
    flops: int = 0
    curve: list[Json] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)  # as if it had never been interrupted

    @property
    def passed(self) -> list[float]:
        """The validations, each the accuracy at the worst length."""
        return [row["validation"] for row in self.curve if row.get("validation") is not None]


def finish(experiment: Experiment, model: GPT, where: Path, found: Checkpoint | None, quiet: bool) -> Json:
    """Train until the last update, or until validation is passed twice in a row; return what is recorded of it.

    Leaves ``curve.csv``, the last checkpoint and, where positions are added, ``positions.csv``. Raises Diverged, and
    Interrupted once there is a checkpoint of the last update.
    """
    settings = experiment.train
    source, optimizer = Source.of(experiment), train.optimizer(model, settings)
    scattered = cost.scattered(model, source.batch(settings.lengths[0], 2))
    validating = [Question("validation", length) for length in settings.lengths]
    journal = _resumed(found, model, optimizer) if found else Journal(_norms(experiment, model))
    again = [journal.done] if journal.done else []  # a checkpoint is made before anything that follows an update
    saved = time.perf_counter()

    def one(update: int) -> Drawn:
        length, batch = source.training(update, settings.lengths, settings.batch, settings.mix)
        return length, batch.to(experiment.device), rng(experiment.seed, PLACES, update)

    draw = _ahead(one, settings.updates)

    @cache
    def of_length(length: int, update: int) -> int:
        return cost.training_flops(model, source.batch(length, settings.batch, settings.mix, update))

    def price(progress: train.Progress) -> int:
        return of_length(progress.length, progress.update if scattered else 0)

    with tqdm(total=settings.updates, desc="train", unit=" updates", disable=quiet or None) as bar:
        for progress in chain(again, train.fit(model, optimizer, draw, settings, journal.done)):
            due = progress.update % settings.validate_every == 0 or progress.update == settings.updates
            late = time.perf_counter() - saved > SAVED
            if progress is not journal.done and (due or late or signals.received()):
                _save(where, progress, model, optimizer, journal)
                saved = time.perf_counter()
            signals.check()
            journal.flops += price(progress)
            row = asdict(progress)
            if due:
                scores = evaluate(model, source, validating, settings.validate_examples)
                row["validation"] = min(float(score.accuracy) for score in scores)
                bar.set_postfix(loss=f"{progress.loss:.4f}", accuracy=f"{row['validation']:.3f}")
            if due or progress.update % LOGGED == 0:
                journal.curve.append(
                    row | {"train_flops": journal.flops, "seconds": time.perf_counter() - journal.began}
                )
            bar.update(progress.update - bar.n)
            if due and len(journal.passed) > 1 and min(journal.passed[-2:]) >= settings.stop_at:
                break
    store.save_files(where, {"curve.csv": store.to_csv(journal.curve, CURVE)})
    if journal.norms is not None:
        table = _positions(experiment, model, source, journal.norms, progress.update)
        store.save_files(where, {"positions.csv": store.to_csv(table, POSITIONS)})
    losses = [row["loss"] for row in journal.curve[-1 - len(journal.curve) // 10 :]]  # one update alone is noise
    loss = {"loss": sum(losses) / len(losses), "loss_floor": source.loss_floor(settings.lengths)}
    last = {"update": progress.update} | loss
    return last | {"train_flops": journal.flops, "train_seconds": time.perf_counter() - journal.began}


def _ahead(draw: Callable[[int], Drawn], last: int) -> Callable[[int], Drawn]:
    """``draw`` for updates that come one after the other until ``last``, AHEAD of them at once.

    After a signal no more than is asked for, so that the update that a checkpoint waits for comes soon.
    """
    drawn: dict[int, Drawn] = {}

    def drawing(update: int) -> Drawn:
        if update not in drawn:
            drawn[update] = draw(update)
            for later in range(update + 1, min(update + AHEAD, last + 1)):
                if signals.received():
                    break
                drawn[later] = draw(later)
        return drawn.pop(update)

    return drawing


def _save(where: Path, progress: train.Progress, model: GPT, optimizer: Optimizer, journal: Journal) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    tensors |= {} if journal.norms is None else {"norms": journal.norms}
    facts = {
        "done": asdict(progress),
        "flops": journal.flops,
        "seconds": time.perf_counter() - journal.began,
    }
    store.save_checkpoint(where, progress.update, tensors, facts, store.to_csv(journal.curve, CURVE))


def _resumed(found: Checkpoint, model: GPT, optimizer: Optimizer) -> Journal:
    """The journal of a checkpoint, once the weights and the moments are those of it."""
    model.load_state_dict(found.under("model."))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in found.under("optimizer.").items():
        index, _, kind = name.partition(".")
        moments.setdefault(int(index), {})[kind] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    facts, began = found.facts, time.perf_counter() - found.facts["seconds"]
    return Journal(found.tensors.get("norms"), train.Progress(**facts["done"]), facts["flops"], found.curve, began)


def _norms(experiment: Experiment, model: GPT) -> Tensor | None:
    """(places,): the length of the vector that is added at each place, None where none is.

    A table has an end; otherwise there are as many places as training reads.
    """
    position = model.position
    if type(position).forward is Position.forward:
        return None
    count = position.context or max(map(experiment.tokens, experiment.train.lengths))
    with torch.no_grad():
        return position(torch.arange(count)).double().norm(dim=1).cpu()


def _positions(experiment: Experiment, model: GPT, source: Source, norms: Tensor, updates: int) -> Iterator[Json]:
    """A row for each place: how far training moved its vector from ``norms``, and how many updates had a token there.

    The lengths and the places of all ``updates`` are drawn once more, from their streams.
    """
    trained = any(parameter.requires_grad for parameter in model.position.parameters())
    tokens = {length: experiment.tokens(length) for length in experiment.train.lengths}
    read = torch.zeros(len(norms), dtype=torch.int64)
    for update in range(1, updates + 1):
        signals.check()
        length = source.trained_length(update, experiment.train.lengths)
        read[model.position.places(tokens[length], rng(experiment.seed, PLACES, update))] += 1
    columns = (column.tolist() for column in (_norms(experiment, model), norms, read))
    for position, row in enumerate(zip(*columns, strict=True)):
        yield dict(zip(POSITIONS, (position, *row, trained), strict=True))
