"""What a run is: values only, checked when they are made. No torch, no hydra.

Every ValueError here is one sentence: the key, what was given, what is allowed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import tasks
from harness.nearest import unknown
from harness.scratchpad import Scratchpad
from harness.seeding import rng
from tasks.base import SPLITS, Task


def _require(good: bool, key: str, given: object, allowed: str) -> None:
    if not good:
        shown = f"[{','.join(map(str, given))}]" if isinstance(given, tuple) else given
        raise ValueError(f"{key}={shown}: {allowed}")


def _require_some(key: str, given: tuple, one: str) -> None:
    _require(len(given) > 0, key, given, f"at least one {one} is needed")
    _require(len(set(given)) == len(given), key, given, f"each {one} once")


@dataclass(frozen=True)
class Model:
    """The size of the GPT and what its tables are drawn with."""

    layers: int
    width: int  # C
    heads: int
    context: int  # rows of the position table: the longest sequence in tokens
    token_std: float

    def __post_init__(self):
        for name, most in (("layers", 1000), ("width", 100_000), ("heads", 10_000), ("context", 10_000_000)):
            value = getattr(self, name)
            _require(1 <= value <= most, f"model.{name}", value, f"1 to {most} are possible")
        divides = f"model.heads={self.heads} must divide it"
        _require(self.width % self.heads == 0, "model.width", self.width, divides)
        _require(0 <= self.token_std < float("inf"), "model.token_std", self.token_std, "0 or more is needed")


@dataclass(frozen=True)
class Train:
    """How it is trained. ``updates`` is the longest it may take, ``stop_at`` ends it earlier."""

    lengths: tuple[int, ...]  # the ladder; each batch has one of them, all equally often
    mix: float  # share of each batch that is boundary twins, the rest is broad
    updates: int
    batch: int  # sequences per update
    learning_rate: float  # its peak
    warmup: int  # updates
    weight_decay: float
    clip: float  # of the gradient's norm
    stop_at: float  # accuracy on the validation items of every length, at two checks in a row
    validate_every: int  # updates
    validate_examples: int  # per length, half of them boundary, half broad

    def __post_init__(self):
        _require_some("train.lengths", self.lengths, "length")
        _require(0 <= self.mix <= 1, "train.mix", self.mix, "a share, 0 to 1")
        for name in ("updates", "batch", "validate_every", "validate_examples"):
            _require(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "1 or more is needed")
        _require(self.warmup >= 0, "train.warmup", self.warmup, "0 or more is needed")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            _require(0 < value < float("inf"), f"train.{name}", value, "a finite number above 0 is needed")
        _require(0 <= self.weight_decay < float("inf"), "train.weight_decay", self.weight_decay, "0 or more is needed")
        _require(self.stop_at > 0, "train.stop_at", self.stop_at, "above 0 (above 1 never stops early)")


@dataclass(frozen=True)
class Evaluate:
    """What a trained model is asked. Not part of the run's identity: more lengths add rows to the same run."""

    lengths: tuple[int, ...]
    splits: tuple[str, ...]
    examples: int  # per length and split

    def __post_init__(self):
        _require_some("evaluate.lengths", self.lengths, "length")
        _require_some("evaluate.splits", self.splits, "split")
        for split in self.splits:
            if split not in SPLITS:
                raise unknown("evaluate.splits=", split, SPLITS)
        even = self.examples >= 2 and self.examples % 2 == 0
        _require(even, "evaluate.examples", self.examples, "an even number is needed, twins come in pairs")


@dataclass(frozen=True)
class Position:
    """How a token knows its place."""

    name: str
    std: float  # of the learned table's initial distribution

    def __post_init__(self):
        _require(0 <= self.std < float("inf"), "position.std", self.std, "0 or more is needed")


@dataclass(frozen=True)
class Attention:
    """A variant and its own settings, by name."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()  # (setting, value) in the order of the yaml

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Attention":
        """From the nested values of a config."""
        rest = _tuples(settings)
        return cls(rest.pop("name"), tuple(rest.items()))


@dataclass(frozen=True)
class Experiment:
    """One run: one config, one seed. The scratchpad is kept in its canonical form, so equal runs are equal values."""

    task_name: str
    task: Task
    attention: Attention
    scratchpad: Scratchpad
    position: Position
    model: Model
    train: Train
    evaluate: Evaluate
    seed: int
    device: str
    threads: int

    def __post_init__(self):
        object.__setattr__(self, "scratchpad", self.scratchpad.canonical(self.task))
        _require(0 <= self.seed < 2**63, "seed", self.seed, "0 to 2^63 - 1 are possible")
        _require(self.device in ("cpu", "cuda"), "device", self.device, "cpu and cuda exist")
        _require(self.threads >= 1, "threads", self.threads, "1 or more is needed")
        possible = f"{self.task_name} has lengths {self.task.shortest} to {self.task.longest}"
        for key, lengths in (("train.lengths", self.train.lengths), ("evaluate.lengths", self.evaluate.lengths)):
            for length in lengths:
                _require(self.task.shortest <= length <= self.task.longest, key, length, possible)
            longest = max(self.tokens(length) for length in lengths)
            needed = f"the longest sequence of {key} takes {longest} tokens"
            _require(longest <= self.model.context, "model.context", self.model.context, needed)

    def tokens(self, length: int) -> int:
        """Tokens that a model reads for one problem of this length: START prompt THINK scratch ANSWER answer."""
        one = self.task.sample(rng(self.seed, "shape", 0), 2, length, "natural")
        return 3 + one.prompt.shape[1] + self.scratchpad.tokens(self.task, length) + one.answer.shape[1]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Experiment":
        """The inverse of :meth:`settings`. Raises ValueError for values that are refused."""
        plain = _tuples(settings)
        task = dict(plain["task"])
        task_name = task.pop("name")
        if task_name not in tasks.names():
            raise unknown("task=", task_name, tasks.names())
        return cls(
            task_name=task_name,
            task=tasks.load(task_name)(**task),
            attention=Attention.of(settings["attention"]),
            scratchpad=Scratchpad(**plain["scratchpad"]),
            position=Position(**plain["position"]),
            model=Model(**plain["model"]),
            train=Train(**plain["train"]),
            evaluate=Evaluate(**plain["evaluate"]),
            seed=plain["seed"],
            device=plain["device"],
            threads=plain["threads"],
        )

    def settings(self) -> dict[str, Any]:
        """All settings as plain nested values, in the shape of ``conf/config.yaml``."""
        task = {"name": self.task_name, **asdict(self.task)}
        attention = {"name": self.attention.name, **dict(self.attention.settings)}
        rest = {name: asdict(getattr(self, name)) for name in ("scratchpad", "position", "model", "train", "evaluate")}
        plain = {"task": task, "attention": attention, **rest, "seed": self.seed}
        return plain | {"device": self.device, "threads": self.threads}


def _tuples(value: Any) -> Any:
    """Lists, at any depth, as tuples: settings are hashable values."""
    if isinstance(value, Mapping):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value
