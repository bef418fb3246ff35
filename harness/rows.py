"""The rows of a run: which are asked for, what is known of them before they are measured, and measuring them."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby, product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from harness import cost, squeeze, store
from harness.draw import Source
from harness.evaluate import Question, Stop, evaluate, plain
from harness.model import GPT
from harness.sequence import Batch
from harness.settings import Experiment
from harness.store import Json

COLUMNS = (
    "run task attention scratchpad trace objective weights position mask layers width heads loops loops_trained "
    "loops_used forced_loops parameters "
    "learning_rate dtype seed update split length in_range steps steps_trained stop bits_per_number scratch_tokens "
    "examples accuracy accuracy_low accuracy_high teacher_forced token_accuracy dense_accuracy first_error chance "
    "majority answer_tokens least_state_bits state_bytes state_bits train_flops prompt_flops decode_flops scored_pairs "
    "serial_steps train_serial_steps seconds"
).split()

LOOPS = "split length steps stop forced_loops loops items".split()  # of loops.csv


def missing(experiment: Experiment, model: GPT, where: Path, record: Json) -> list[tuple[Question, Json]]:
    """What ``evaluate.*`` asks and is not answered yet, each with the columns that are known already."""
    _, there = store.load_scores(where)
    wanted = [(question, _facts(experiment, model, record, question)) for question in _questions(experiment)]
    return [(question, facts) for question, facts in wanted if store.item_key(facts) not in there]


def measure(experiment: Experiment, model: GPT, where: Path, asked: list[tuple[Question, Json]], quiet: bool) -> None:
    """Answer the questions; the rows of those that share a prompt are saved together, as soon as they are known."""
    rows, items = store.load_scores(where)
    source, size = Source.of(experiment), experiment.evaluate.examples
    with tqdm(total=len(asked), desc="evaluate", unit=" rows", disable=quiet or None) as bar:
        for _, same in groupby(asked, key=lambda one: one[0].prompt):
            began, together = time.perf_counter(), list(same)
            for (question, facts), score in zip(
                together, evaluate(model, source, [question for question, _ in together], size), strict=True
            ):
                measures = asdict(score)
                items[store.item_key(facts)] = measures.pop("right")
                took = measures.pop("loops")
                price = _price(model, source, question, size, measures.pop("scratch"), took)
                if model.halting is not None:
                    _log_loops(where, facts, took)
                rows.append(facts | measures | price)
            seconds = (time.perf_counter() - began) / len(together)
            for row in rows[-len(together) :]:
                row["seconds"] = seconds
            store.save_scores(where, rows, COLUMNS, items)
            bar.update(len(together))


def _price(model: GPT, source: Source, question: Question, size: int, scratch: np.ndarray, took: np.ndarray) -> Json:
    """The columns of what an answer costs."""
    batch = source.batch(question.length, 2)
    if cost.scattered(model, batch):
        batch = source.items(question.split, question.length, size)
    price = mean_cost(model, batch, scratch, question.stop, took)
    price["state_bits"] = 8 * price["state_bytes"]
    if question.bits is not None:
        cut = squeeze.middle(source.task, batch, question.length)
        price["state_bits"] = question.bits * squeeze.numbers(model, cut)
    return price


def mean_cost(model: GPT, batch: Batch, scratch: np.ndarray, stop: Stop, loops: np.ndarray) -> Json:
    """The columns of ``Cost``, a mean over items, which differ where the model ends its scratchpad or its loops itself.

    An item that came to the limit of its scratchpad did not: ANSWER was put in its mouth. Of its tokens the one that
    took most ``loops`` sets how many all of them are charged, since it reads what the others are after as many.
    """
    kinds, counts = np.unique(np.stack([scratch, loops]), axis=1, return_counts=True)
    costs = []
    for tokens, took in kinds.T.tolist():
        itself = stop.own and tokens < stop.steps * batch.step
        costs.append(asdict(cost.answering(model.looped(took, halts=True), batch, tokens, itself)))
    return {name: plain(np.average([c[name] for c in costs], weights=counts)) for name in costs[0]}


def _log_loops(where: Path, facts: Json, took: np.ndarray) -> None:
    """``loops.csv``: how many items took how many loops, for each question that was asked."""
    path, key = where / "loops.csv", {name: facts[name] for name in LOOPS[:-2]}
    there = [row for row in (store.from_csv(path) if path.exists() else []) if {n: row[n] for n in key} != key]
    values, counts = np.unique(took, return_counts=True)
    rows = [key | {"loops": int(loops), "items": int(items)} for loops, items in zip(values, counts, strict=True)]
    store.save_files(where, {path.name: store.to_csv([*there, *rows], LOOPS)})


def _questions(experiment: Experiment) -> Iterator[Question]:
    """Validation at the trained lengths, then every split, length, stop and squeeze that is asked for."""
    yield from (Question("validation", length) for length in experiment.train.lengths)
    own = experiment.evaluate.stop == "self"
    for split, length in product(experiment.evaluate.splits, experiment.evaluate.lengths):
        trained = experiment.steps(length)
        stops = [Stop() if not own and steps == trained else Stop(steps, own) for steps in experiment.stops(length)]
        for bits in (None, *experiment.evaluate.state_bits):
            yield from (Question(split, length, stop, bits) for stop in stops)
        for loops in experiment.evaluate.loops:
            if experiment.model.halting != "none" or loops != experiment.model.loops:
                yield from (Question(split, length, stop, loops=loops) for stop in stops)


def _facts(experiment: Experiment, model: GPT, record: Json, question: Question) -> Json:
    """The columns of a row that are known before it is measured; some are the same in every row until there is more."""
    split, length, stop, bits, loops = question
    batch = Source.of(experiment).batch(length, 2)
    trained, lengths = experiment.steps(length), experiment.train.lengths
    return {
        "run": record["run"],
        "task": experiment.task_name,
        "attention": experiment.attention.name,
        "scratchpad": experiment.scratchpad.name,
        "trace": experiment.scratchpad.trace,
        "objective": experiment.train.objective,
        "weights": record.get("weights", "trained"),
        "position": experiment.position.name,
        "mask": experiment.mask,
        "layers": experiment.model.layers,
        "width": experiment.model.width,
        "heads": experiment.model.heads,
        "loops": loops or experiment.model.loops,
        "loops_trained": experiment.model.loops,
        "forced_loops": loops,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "learning_rate": experiment.train.learning_rate,
        "dtype": record["fingerprint"]["dtype"],
        "seed": experiment.seed,
        "update": record["update"],
        "split": split,
        "length": length,
        "in_range": min(lengths) <= length <= max(lengths),
        "steps": None if stop.own else trained if stop.steps is None else stop.steps,
        "steps_trained": trained,
        "stop": "self" if stop.own else "budget",
        "bits_per_number": bits,
        "examples": experiment.evaluate.examples,
        "train_flops": record["train_flops"],
        "answer_tokens": batch.answer.shape[1],
        "least_state_bits": experiment.task.state_bits(length),
        "train_serial_steps": cost.training_serial_steps(model, batch),
    }
