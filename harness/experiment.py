"""One run from start to end: build, fit, evaluate, write rows."""

import hashlib
import platform
import subprocess
import time
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from harness import attention, cost, store, train
from harness.draw import Source
from harness.evaluate import evaluate
from harness.model import GPT, build
from harness.nearest import Refusal, refusing
from harness.report import figures
from harness.sequence import Batch
from harness.settings import Experiment
from harness.store import Json

LOGGED = 10  # every so many updates there is a row in curve.csv
CURVE = "update length loss gradient_norm learning_rate validation train_flops seconds".split()
COLUMNS = (
    "run task attention scratchpad trace objective weights position mask layers width heads loops parameters "
    "learning_rate dtype seed update split length in_range steps steps_trained stop scratch_tokens examples accuracy "
    "accuracy_low accuracy_high teacher_forced token_accuracy first_error chance majority state_bytes train_flops "
    "prompt_flops decode_flops scored_pairs serial_steps train_serial_steps seconds"
).split()


def versions(experiment: Experiment) -> dict[str, int]:
    """Which code the run's numbers come from."""
    mixer = attention.load(experiment.attention.name)
    return {"task": experiment.task.version, "attention": mixer.version, "loop": train.VERSION}


def identity(experiment: Experiment) -> tuple[str, str]:
    """(run id, recipe id): SHA-256 over the settings that training depends on and the versions; the recipe has no seed.

    Not part of it: ``evaluate``, the device and the threads (they are in the fingerprint), the launcher.
    """
    settings = experiment.settings()
    training = {key: settings[key] for key in ("task", "attention", "scratchpad", "position", "model", "train")}
    del training["scratchpad"]["name"]  # it follows from the rest
    training["versions"] = versions(experiment)
    return _digest(training | {"seed": experiment.seed}), _digest(training)


def _digest(value: Any) -> str:
    return hashlib.sha256(store.to_json(value).encode()).hexdigest()


def folder(experiment: Experiment, root: Path) -> Path:
    """Where the run lives."""
    run, _ = identity(experiment)
    name = f"{experiment.task_name}-{experiment.attention.name}-{experiment.scratchpad.name}-{run[:8]}"
    return store.run_folder(root, name)


def fingerprint(experiment: Experiment) -> Json:
    """What bit-identical repetition depends on besides the settings."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": _cpu(),
        "device": experiment.device,
        "dtype": "float32",
        "threads": experiment.threads,
        **_commit(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def _commit() -> Json:
    """The commit of the checkout this file lies in and whether it was changed; None for an installed package."""
    checkout = Path(__file__).parent.parent
    try:
        if _git(checkout, "rev-parse", "--show-toplevel") != str(checkout.resolve()):
            return {"commit": None, "dirty": None}
        return {"commit": _git(checkout, "rev-parse", "HEAD"), "dirty": bool(_git(checkout, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _git(folder: Path, *words: str) -> str:
    call = ["git", "-C", str(folder), *words]
    return subprocess.run(call, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def check(experiment: Experiment) -> None:
    """Raise Refusal for what only torch can tell: a device that is not there, settings that the variant refuses."""
    if experiment.device == "cuda" and not torch.cuda.is_available():
        raise Refusal("device=cuda: this machine has none that torch can use, cpu is possible")
    with refusing(), torch.device("meta"):
        build(experiment)


def run(experiment: Experiment, root: Path, quiet: bool = False) -> Path:
    """Do what is missing of a run and return its folder: train if it never finished, evaluate the rows not there yet.

    The run's status is DONE or DIVERGED after it; FAILED, with the reason, if an exception passes through.
    """
    torch.set_num_threads(experiment.threads)
    where = folder(experiment, root)
    record = _record(experiment, where)
    if record["status"] == "DIVERGED":
        return where
    settings = experiment.settings()
    if "update" in record:  # trained before: only what is evaluated may be new
        settings = store.from_yaml(where / "config.yaml") | {"evaluate": settings["evaluate"]}
    store.write(where / "config.yaml", store.to_yaml(settings))
    try:
        model = build(experiment).to(experiment.device)
        if "update" not in record:
            _note(where, record)
            _train(experiment, model, where, record, quiet)
        if missing := _missing(experiment, model, where, record):
            model.load_state_dict(weights(where, record))  # what is evaluated is what was saved
            _evaluate(experiment, model, where, missing, quiet)
            _note(where, record, status="DONE", reason=None)
            figure = figures.accuracy_against_length(store.read_run(where))
            store.write(where / "accuracy.png", figures.render(figure))
        elif record["status"] != "DONE":
            _note(where, record, status="DONE", reason=None)
    except train.Diverged as error:
        _note(where, record, status="DIVERGED", reason=str(error))
    except Exception as error:
        _note(where, record, status="FAILED", reason=f"{type(error).__name__}: {error}")
        raise
    return where


def weights(where: Path, record: Json) -> dict[str, torch.Tensor]:
    """The weights that a run's training ended with.

    Raises Corrupt, naming what is damaged, unless the last checkpoint verifies and is this run's.
    """
    loaded = store.load_checkpoint(where)
    if loaded is None:
        raise store.Corrupt(f"{where} has no checkpoint")
    tensors, facts, complaints = loaded
    if facts.get("run") != where.name or facts["update"] != record["update"]:
        found = f"{where / 'checkpoint'} holds {facts.get('run')} at update {facts['update']}"
        raise store.Corrupt("; ".join([*complaints, f"{found}, not {where.name} at update {record['update']}"]))
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}


def _record(experiment: Experiment, where: Path) -> Json:
    """What is known of the run so far; a new record if its training never came to an end."""
    if (where / "run.json").exists():
        record = store.from_json(where / "run.json")
        if "update" in record or record["status"] == "DIVERGED":
            return record
    run_id, recipe = identity(experiment)
    return {
        "run": where.name,
        "id": run_id,
        "recipe": recipe[:8],
        "status": "RUNNING",
        "versions": versions(experiment),
        "fingerprint": fingerprint(experiment),
        "started": _now(),
    }


def _note(where: Path, record: Json, **facts: Any) -> None:
    record |= facts | {"changed": _now()}
    store.write(where / "run.json", store.to_json(record))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _train(experiment: Experiment, model: GPT, where: Path, record: Json, quiet: bool) -> None:
    """Fit until the last update, or until validation is passed twice in a row; leave curve and checkpoint."""
    settings, source = experiment.train, _source(experiment)
    optimizer = train.optimizer(model, settings)
    validating = [("validation", length) for length in settings.lengths]
    price = {n: cost.training_flops(model, source.items("validation", n, settings.batch)) for n in settings.lengths}
    curve, flops, passed, began = [], 0, 0, time.perf_counter()

    def draw(update: int) -> tuple[int, Batch]:
        length, batch = source.training(update, settings.lengths, settings.batch, settings.mix)
        return length, batch.to(experiment.device)

    with tqdm(total=settings.updates, desc="train", unit=" updates", disable=quiet or None) as bar:
        for progress in train.fit(model, optimizer, draw, settings):
            flops += price[progress.length]
            row = asdict(progress)
            if progress.update % settings.validate_every == 0 or progress.update == settings.updates:
                scores = evaluate(model, source, validating, settings.validate_examples)
                row["validation"] = min(score.accuracy for score in scores)
                passed = passed + 1 if row["validation"] >= settings.stop_at else 0
                bar.set_postfix(loss=f"{progress.loss:.4f}", accuracy=f"{row['validation']:.3f}")
            if progress.update % LOGGED == 0 or "validation" in row:
                curve.append(row | {"train_flops": flops, "seconds": time.perf_counter() - began})
            bar.update()
            if passed == 2:
                break
    store.write(where / "curve.csv", store.to_csv(curve, CURVE))
    moments = {f"optimizer.{i}.{k}": v for i, s in optimizer.state_dict()["state"].items() for k, v in s.items()}
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()} | moments
    store.save_checkpoint(where, progress.update, tensors, {"run": where.name})
    seconds = time.perf_counter() - began
    _note(where, record, update=progress.update, train_flops=flops, train_seconds=seconds)


def _source(experiment: Experiment) -> Source:
    return Source(experiment.task, experiment.scratchpad, experiment.seed)


def _missing(experiment: Experiment, model: GPT, where: Path, record: Json) -> list[Json]:
    """The rows that ``evaluate.*`` asks for and that are not there yet, without their measures."""
    asked = [("validation", length) for length in experiment.train.lengths]
    asked += list(product(experiment.evaluate.splits, experiment.evaluate.lengths))
    facts = [_facts(experiment, model, record, split, length) for split, length in asked]
    _, there = store.load_scores(where)
    return [row for row in facts if store.item_key(row) not in there]


def _evaluate(experiment: Experiment, model: GPT, where: Path, missing: list[Json], quiet: bool) -> None:
    """Measure these rows, each saved as soon as it is known."""
    rows, items = store.load_scores(where)
    source, size = _source(experiment), experiment.evaluate.examples
    for facts in tqdm(missing, desc="evaluate", unit=" rows", disable=quiet or None):
        began = time.perf_counter()
        (score,) = evaluate(model, source, [(facts["split"], facts["length"])], size)
        measures = asdict(score)
        items[store.item_key(facts)] = measures.pop("right")
        price = asdict(cost.answering(model, source.items(facts["split"], facts["length"], 1)))
        rows.append(facts | measures | price | {"seconds": time.perf_counter() - began})
        store.save_scores(where, rows, COLUMNS, items)


def _facts(experiment: Experiment, model: GPT, record: Json, split: str, length: int) -> Json:
    """The columns of a row that are known before it is measured; some are the same in every row until there is more."""
    steps = experiment.scratchpad.steps(experiment.task, length)
    lengths = experiment.train.lengths
    return {
        "run": record["run"],
        "task": experiment.task_name,
        "attention": experiment.attention.name,
        "scratchpad": experiment.scratchpad.name,
        "trace": experiment.scratchpad.trace,
        "objective": "answer",
        "weights": "trained",
        "position": experiment.position.name,
        "mask": "causal",
        "layers": experiment.model.layers,
        "width": experiment.model.width,
        "heads": experiment.model.heads,
        "loops": 1,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "learning_rate": experiment.train.learning_rate,
        "dtype": record["fingerprint"]["dtype"],
        "seed": experiment.seed,
        "update": record["update"],
        "split": split,
        "length": length,
        "in_range": min(lengths) <= length <= max(lengths),
        "steps": steps,
        "steps_trained": steps,
        "stop": "budget",
        "scratch_tokens": experiment.scratchpad.tokens(experiment.task, length),
        "examples": experiment.evaluate.examples,
        "train_flops": record["train_flops"],
        "train_serial_steps": cost.training_serial_steps(model, experiment.tokens(length)),
    }
