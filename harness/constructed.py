"""Weights that are set by hand, as a run: a folder like any other, its rows measured in the ordinary way."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from harness import config, rows, store
from harness.identity import fingerprint, identity, settled, versions
from harness.model import GPT
from harness.nearest import Refusal, refusing
from harness.seeding import rng
from harness.settings import Experiment
from harness.theory.witness import WITNESSES, Witness, witness
from tasks.base import Task

BY_HAND = "witness"  # what train.init_from calls them, and the column ``weights``


def run(task: Task, name: str, lengths: Sequence[int], words: Sequence[str], root: Path) -> Path:
    """Build a witness for prompts up to the longest of these lengths, ask it at each, and return its run's folder.

    ``words`` are settings of the evaluation. The run is known by those that give the model its shapes and by the
    witness; it can be looked inside, shown and started from like one that was trained. Raises Refusal for a witness
    that does not exist or is not for this task, and for a length that the task does not have.
    """
    with refusing():
        chosen = witness(task, name)
        for length in lengths:
            task.refuse(length, "natural")
        line = [*chosen.settings(task, max(lengths)), *words]
    told = ",".join(map(str, lengths))
    ends = ("train.lengths=", "evaluate.lengths=")
    line = [word for word in line if not word.startswith(ends)] + [f"{end}[{told}]" for end in ends]
    experiment = settled(*config.points(line))
    model = chosen.build(task, max(lengths))
    run_id, recipe = (_digest(part, name) for part in identity(experiment))
    kind = f"{experiment.task_name}-{experiment.attention.name}-{experiment.scratchpad.name}"
    where = store.run_folder(root, f"{kind}-{run_id[:8]}")
    with store.claim(where):
        record = {"run": where.name, "id": run_id, "recipe": recipe[:8], "versions": versions(experiment)}
        record |= {"weights": BY_HAND, "witness": name, "evidence": chosen.evidence, "resumed": 0, "notes": []}
        record |= {"fingerprint": fingerprint(experiment), "update": 0, "train_flops": 0, "loss": None}
        record |= {"loss_floor": None, "started": _now(), "reason": None}
        store.save_settings(where, experiment.settings())
        store.save_record(where, record | {"status": "RUNNING", "changed": _now()})
        tensors = {f"model.{key}": tensor.contiguous() for key, tensor in model.state_dict().items()}
        store.save_checkpoint(where, 0, tensors, {})
        rows.measure(experiment, model, where, rows.missing(experiment, model, where, record), quiet=False)
        store.save_record(where, record | {"status": "DONE", "changed": _now()})
    return where


def fitting(experiment: Experiment) -> Witness:
    """The witness whose model is that of an experiment. Raises Refusal, naming what there is, if none is."""
    length = max((*experiment.train.lengths, *experiment.evaluate.lengths))
    near = []
    for one in WITNESSES.values():
        if isinstance(experiment.task, one.kind) and one.holds(experiment.task):
            its = one.experiment(experiment.task, length)
            if all(getattr(its, part) == getattr(experiment, part) for part in ("attention", "position", "model")):
                return one
            words = [word for word in one.settings(experiment.task, length) if "lengths=" not in word]
            near.append(" ".join(words))
    there = f"one that does has {'; another '.join(near)}" if near else "no task but those of `theory` has one"
    raise Refusal(f"train.init_from={BY_HAND}: no weights that are set by hand fit these settings: {there}")


def start(experiment: Experiment, model: GPT) -> dict:
    """Give a model the weights of the witness that fits it; what is recorded of it."""
    one = fitting(experiment)
    length = max((*experiment.train.lengths, *experiment.evaluate.lengths))
    model.load_state_dict(one.build(experiment.task, length).state_dict())
    return {"run": BY_HAND, "id": one.name}


@torch.no_grad()
def disturb(model: nn.Module, noise: float, seed: int) -> None:
    """Add N(0, (noise rms)^2) to every weight, rms of its own tensor; a tensor of zeros has that of the whole model."""
    draw = rng(seed, "noise", 0)
    whole = torch.cat([parameter.flatten() for parameter in model.parameters()]).square().mean().sqrt()
    for parameter in model.parameters():
        size = parameter.square().mean().sqrt()
        added = torch.from_numpy(draw.standard_normal(tuple(parameter.shape))).to(parameter)
        parameter += noise * (size if size > 0 else whole) * added


def _digest(part: str, name: str) -> str:
    return hashlib.sha256(f"{BY_HAND} {name} {part}".encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
