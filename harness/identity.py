"""What a run is known by: its id, its folder, the code and the machine its numbers come from."""

import hashlib
import platform
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness import attention, store, train
from harness.settings import HYBRID, Experiment
from harness.store import Json

TRAINING = ("task", "attention", "scratchpad", "position", "model", "train", "mask")


def versions(experiment: Experiment) -> dict[str, int | str]:
    """Which code the run's numbers come from; of a hybrid "1+1", a version for each layer."""
    layers = experiment.attention.of_layers(experiment.model.layers)
    mixers = [attention.load(one.name).version for one in layers]
    version = "+".join(map(str, mixers)) if experiment.attention.name == HYBRID else mixers[0]
    return {"task": experiment.task.version, "attention": version, "loop": train.VERSION}


def identity(experiment: Experiment) -> tuple[str, str]:
    """(run id, recipe id): SHA-256 over the settings that training depends on and the versions; the recipe has no seed.

    Not part of it: ``evaluate``, the device and the threads (they are in the fingerprint), the launcher.
    """
    settings = experiment.settings()
    training = {key: settings[key] for key in TRAINING}
    del training["scratchpad"]["name"]  # it follows from the rest
    if not experiment.bounded:
        del training["model"]["context"]  # there is no table
    if experiment.model.halting == "none":
        for section, key in (("model", "halting"), ("train", "ponder"), ("train", "prior_loops")):
            del training[section][key]
    if not experiment.train.init_noise:
        del training["train"]["init_noise"]
    if experiment.dtype != "float32":
        training["dtype"] = experiment.dtype
    if experiment.model.loops == 1:
        del training["model"]["loops"]
    training["versions"] = versions(experiment)
    return _digest(training | {"seed": experiment.seed}), _digest(training)


def _digest(value: Any) -> str:
    return hashlib.sha256(store.to_json(value).encode()).hexdigest()


def folder(experiment: Experiment, root: Path) -> Path:
    """Where the run lives."""
    run, _ = identity(experiment)
    name = f"{experiment.task_name}-{experiment.attention.name}-{experiment.scratchpad.name}-{run[:8]}"
    return store.run_folder(root, name)


def settled(experiment: Experiment) -> Experiment:
    """The same on the device that ``device=auto`` stands for on this machine."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return replace(experiment, device=found) if experiment.device == "auto" else experiment


def fingerprint(experiment: Experiment) -> Json:
    """What bit-identical repetition depends on besides the settings."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": _cpu(),
        "device": experiment.device,
        "dtype": experiment.dtype,
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
