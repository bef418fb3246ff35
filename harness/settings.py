"""What a run is: values only, checked when they are made. No torch, no hydra.

Every ValueError here is one sentence: the key, what was given, what is allowed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import tasks
from harness.nearest import unknown
from harness.scratchpad import Scratchpad
from harness.sections import OLDER, Evaluate, Model, Train, require
from harness.seeding import rng
from tasks.base import Instance, Task

MASKS = ("causal", "prefix", "encoder")
DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "bfloat16")
HYBRID = "hybrid"


@dataclass(frozen=True)
class Choice:
    """One entry of a folder, an attention variant or a kind of position, and its own settings, by name.

    The attention *hybrid* is no variant but a list of them, ``layers``: a choice for each layer of the model.
    """

    name: str
    settings: tuple[tuple[str, Any], ...] = ()  # (setting, value) in the order of the yaml

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Choice":
        """From the nested values of a config."""
        rest = _tuples(settings)
        if rest["name"] == HYBRID:
            rest["layers"] = tuple(map(cls.of, rest["layers"]))
        return cls(rest.pop("name"), tuple(rest.items()))

    def plain(self) -> dict[str, Any]:
        """The inverse of :meth:`of`."""
        settings = dict(self.settings)
        if self.name == HYBRID:
            settings["layers"] = tuple(one.plain() for one in settings["layers"])
        return {"name": self.name, **settings}

    def of_layers(self, layers: int) -> tuple["Choice", ...]:
        """The choice for each of so many layers. Raises ValueError for a hybrid of another number of them."""
        if self.name != HYBRID:
            return (self,) * layers
        chosen = dict(self.settings)["layers"]
        needed = f"model.layers={layers} variants are needed, one for each layer"
        require(len(chosen) == layers, "attention.layers", tuple(one.name for one in chosen), needed)
        return chosen


@dataclass(frozen=True)
class Experiment:
    """One run: one config, one seed. The scratchpad is kept in its canonical form, so equal runs are equal values."""

    task_name: str
    task: Task
    attention: Choice
    scratchpad: Scratchpad
    position: Choice
    model: Model
    train: Train
    evaluate: Evaluate
    mask: str
    seed: int
    device: str
    dtype: str
    threads: int

    def __post_init__(self):
        object.__setattr__(self, "scratchpad", self.scratchpad.canonical(self.task))
        if self.mask not in MASKS:
            raise unknown("mask=", self.mask, MASKS)
        require(0 <= self.seed < 2**63, "seed", self.seed, "0 to 2^63 - 1 are possible")
        if self.device not in DEVICES:
            raise unknown("device=", self.device, DEVICES)
        if self.dtype not in DTYPES:
            raise unknown("dtype=", self.dtype, DTYPES)
        require(self.threads >= 1, "threads", self.threads, "1 or more is needed")
        self.attention.of_layers(self.model.layers)
        once = self.model.halting == "none" or self.mask != "encoder"
        alone = "with mask=encoder each token has a pass of its own, model.halting=none is possible"
        require(once, "model.halting", self.model.halting, alone)
        self._hold_lengths()
        self._hold_what_is_said(self._one(self.train.lengths[0]))
        self._hold_context()

    def _hold_lengths(self) -> None:
        possible = f"{self.task_name} has lengths {self.task.shortest} to {self.task.longest} with these settings"
        for key, lengths in (("train.lengths", self.train.lengths), ("evaluate.lengths", self.evaluate.lengths)):
            for length in lengths:
                require(self.task.shortest <= length <= self.task.longest, key, length, possible)

    def _hold_what_is_said(self, one: Instance) -> None:
        """Objective, scratchpad and stop fit the problems, of which ``one`` is an example."""
        inside = one.at is not None
        before = "answers are said inside the prompt, before a scratchpad could help: scratchpad=none is possible"
        require(not inside or self.scratchpad.name == "none", "scratchpad", self.scratchpad.name, before)
        peeks = self.mask == "prefix" and self.train.objective == "sequence"
        seen = "with mask=prefix the tokens of the prompt see each other and cannot be predicted, answer is possible"
        require(not peeks, "train.objective", self.train.objective, seen)
        dense = f"{self.task_name} has no answer so far to supervise"
        require(not self.train.dense or self.task.so_far(one.prompt) is not None, "train.dense", "true", dense)
        alone = f"the answer so far stands where train.objective={self.train.objective} has the next token"
        require(not self.train.dense or self.train.objective == "answer", "train.dense", "true", alone)
        ahead = "with mask=prefix an item has seen those after it, and no answer is one so far"
        require(not self.train.dense or self.mask != "prefix", "train.dense", "true", ahead)
        own = self.evaluate.stop == "self" and (inside or self.scratchpad.name == "filler")
        decoded = "answers are said inside the prompt" if inside else "filler is given"
        require(not own, "evaluate.stop", self.evaluate.stop, f"{decoded}, nothing is decoded")
        why = "answers are said inside the prompt" if inside else f"mask={self.mask} reads no prompt from left to right"
        cut = not self.evaluate.state_bits or not (inside or self.mask != "causal")
        require(cut, "evaluate.state_bits", self.evaluate.state_bits, f"{why}, no state is squeezed in its middle")
        wordless = f"scratchpad={self.scratchpad.name} writes no steps of its own to be stopped"
        traced = self.scratchpad.source(self.task) is not None
        require(traced or not self.evaluate.steps, "evaluate.steps", self.evaluate.steps, wordless)

    def _hold_context(self) -> None:
        """Every sequence fits into the position table, if there is one."""
        width = trace.width if (trace := self.scratchpad.source(self.task)) else 1
        read = {"train.lengths": max(map(self.tokens, self.train.lengths))}
        read["evaluate.lengths"] = max(
            self.tokens(length) + max(0, stop - self.steps(length)) * width
            for length in self.evaluate.lengths
            for stop in self.stops(length)
        )
        for key, longest in read.items():
            fits = not self.bounded or longest <= self.model.context
            needed = f"the longest sequence of {key} takes {longest} tokens"
            require(fits, "model.context", self.model.context, needed)

    @property
    def bounded(self) -> bool:
        """Whether positions are rows of a table, ``model.context`` of them."""
        return self.position.name in ("learned", "offset", "randomized")

    def steps(self, length: int) -> int:
        """k(n): steps that the model is trained to write at this length."""
        return self.scratchpad.steps(self.task, length)

    def stops(self, length: int) -> tuple[int, ...]:
        """The numbers of steps after which evaluation stops it at this length; with ``stop=self`` the limit, 2S + 8.

        Raises ValueError for a stop beyond the limit.
        """
        trace = self.scratchpad.source(self.task)
        limit = 2 * trace.count(length) + 8 if trace else self.steps(length)
        for stop in self.evaluate.steps:
            beyond = f"at most {limit} at length {length}, twice what {self.scratchpad.trace} has there and 8"
            require(stop <= limit, "evaluate.steps", stop, beyond)
        return (limit,) if self.evaluate.stop == "self" else self.evaluate.steps or (self.steps(length),)

    def tokens(self, length: int) -> int:
        """Tokens that a model reads for one problem of this length: START prompt THINK scratch ANSWER answer.

        Where answers are said inside the prompt that is START prompt.
        """
        one = self._one(length)
        prompt, answer = one.prompt.shape[1], one.answer.shape[1]
        return 1 + prompt if one.at is not None else 3 + prompt + self.scratchpad.tokens(self.task, length) + answer

    def _one(self, length: int) -> Instance:
        return self.task.sample(rng(self.seed, "shape", 0), 2, length, "natural")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Experiment":
        """The inverse of :meth:`settings`. Raises ValueError for values that are refused.

        Lengths may be None: training has the :func:`ladder` of the task, evaluation goes once beyond training.
        """
        plain = _tuples(settings)
        task = dict(plain["task"])
        task_name = task.pop("name")
        if task_name not in tasks.names():
            raise unknown("task=", task_name, tasks.names())
        task = tasks.load(task_name)(**task)
        trained, evaluated = (plain[section]["lengths"] for section in ("train", "evaluate"))
        trained = ladder(task) if trained is None else trained
        if evaluated is None:
            further = 2 * max(trained, default=0)
            evaluated = (*trained, *([further] if further <= task.longest else []))
        return cls(
            task_name=task_name,
            task=task,
            attention=Choice.of(settings["attention"]),
            scratchpad=Scratchpad(**plain["scratchpad"]),
            position=Choice.of(settings["position"]),
            model=Model(**OLDER["model"] | plain["model"]),
            train=Train(**OLDER["train"] | plain["train"] | {"lengths": trained}),
            evaluate=Evaluate(**OLDER["evaluate"] | plain["evaluate"] | {"lengths": evaluated}),
            mask=plain["mask"],
            seed=plain["seed"],
            device=plain["device"],
            dtype=(OLDER[""] | plain)["dtype"],
            threads=plain["threads"],
        )

    def settings(self) -> dict[str, Any]:
        """All settings as plain nested values, in the shape of ``conf/config.yaml``."""
        named = {"task": {"name": self.task_name, **asdict(self.task)}, "attention": self.attention.plain()}
        named |= {"scratchpad": asdict(self.scratchpad), "position": self.position.plain()}
        sections = {name: asdict(getattr(self, name)) for name in ("model", "train", "evaluate")}
        return named | sections | {name: getattr(self, name) for name in ("mask", "seed", "device", "dtype", "threads")}


def ladder(task: Task) -> tuple[int, ...]:
    """The lengths that are trained unless others are asked for: 4, 8, 16, 32, or four doublings from the shortest."""
    first = max(4, task.shortest)
    return tuple(first * 2**step for step in range(4) if first * 2**step <= task.longest) or (task.longest,)


def _tuples(value: Any) -> Any:
    """Lists, at any depth, as tuples: settings are hashable values."""
    if isinstance(value, Mapping):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value
