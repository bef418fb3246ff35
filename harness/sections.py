"""The sections of a config that are alike for every task and variant: model, train, evaluate, launcher.

Every ValueError here is one sentence: the key, what was given, what is allowed.
"""

import re
from dataclasses import dataclass

from harness.nearest import unknown
from tasks.base import SPLITS

OBJECTIVES = ("answer", "sequence")
HALTING = ("none", "ponder")
STOPS = ("budget", "self")
LOOPS = 1000  # at most
OPTION = re.compile(r"[a-z][a-z-]*:[^\s:]\S*")
OLDER = {  # what runs did before they could be told to do something else
    "model": {"loops": 1, "halting": "none"},
    "train": {"ponder": 0.01, "prior_loops": 4.0, "init_noise": 0.0},
    "evaluate": {"state_bits": (), "loops": ()},
    "": {"dtype": "float32"},
}


def require(good: bool, key: str, given: object, allowed: str) -> None:
    """Raises ValueError with that sentence unless it is good."""
    if not good:
        shown = f"[{','.join(map(str, given))}]" if isinstance(given, tuple) else given
        raise ValueError(f"{key}={shown}: {allowed}")


def require_some(key: str, given: tuple, one: str) -> None:
    """Raises ValueError if there are none, or one twice."""
    require(len(given) > 0, key, given, f"at least one {one} is needed")
    require(len(set(given)) == len(given), key, given, f"each {one} once")


@dataclass(frozen=True)
class Model:
    """The size of the GPT and what its tables are drawn with."""

    layers: int
    width: int  # C
    heads: int
    context: int  # rows of the position table: the longest sequence in tokens
    token_std: float
    loops: int  # how often the layers are gone through, with the same weights
    halting: str  # ponder: each position stops within these loops by itself; none: after the last

    def __post_init__(self):
        sizes = {"layers": 1000, "width": 100_000, "heads": 10_000, "context": 10_000_000, "loops": LOOPS}
        for name, most in sizes.items():
            value = getattr(self, name)
            require(1 <= value <= most, f"model.{name}", value, f"1 to {most} are possible")
        if self.halting not in HALTING:
            raise unknown("model.halting=", self.halting, HALTING)
        stops = self.halting == "none" or self.loops > 1
        require(
            stops, "model.halting", self.halting, "with model.loops=1 there is nothing to stop, 2 or more are needed"
        )
        divides = f"model.heads={self.heads} must divide it"
        require(self.width % self.heads == 0, "model.width", self.width, divides)
        require(0 <= self.token_std < float("inf"), "model.token_std", self.token_std, "0 or more is needed")


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
    objective: str  # answer: scratchpad and answer are supervised; sequence: every token that is not filler
    dense: bool  # also supervise the answer so far, at each item
    init_from: str | None  # the run whose last weights it starts from; witness: weights that are set by hand
    init_noise: float  # added to them, N(0, 1) times so much of the root mean square of each tensor
    ponder: float  # weight of the prior over loops in the loss, nats against nats (model.halting=ponder)
    prior_loops: float  # its mean

    def __post_init__(self):
        if self.objective not in OBJECTIVES:
            raise unknown("train.objective=", self.objective, OBJECTIVES)
        require_some("train.lengths", self.lengths, "length")
        require(0 <= self.mix <= 1, "train.mix", self.mix, "a share, 0 to 1")
        for name in ("updates", "batch", "validate_every", "validate_examples"):
            require(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "1 or more is needed")
        require(self.warmup >= 0, "train.warmup", self.warmup, "0 or more is needed")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            require(0 < value < float("inf"), f"train.{name}", value, "a finite number above 0 is needed")
        require(0 <= self.init_noise < float("inf"), "train.init_noise", self.init_noise, "0 or more is needed")
        from_scratch = "there is nothing to add noise to, train.init_from is needed"
        require(not self.init_noise or self.init_from is not None, "train.init_noise", self.init_noise, from_scratch)
        require(0 <= self.ponder < float("inf"), "train.ponder", self.ponder, "0 or more is needed")
        require(1 < self.prior_loops < float("inf"), "train.prior_loops", self.prior_loops, "more than 1 is needed")
        require(0 <= self.weight_decay < float("inf"), "train.weight_decay", self.weight_decay, "0 or more is needed")
        require(self.stop_at > 0, "train.stop_at", self.stop_at, "above 0 (above 1 never stops early)")


@dataclass(frozen=True)
class Evaluate:
    """What a trained model is asked. Not part of the run's identity: more lengths add rows to the same run."""

    lengths: tuple[int, ...]
    splits: tuple[str, ...]
    examples: int  # per length and split
    stop: str  # budget: after so many steps ANSWER is put in the model's mouth; self: it writes ANSWER itself
    steps: tuple[int, ...]  # forced stops after so many steps; none: as many as were trained
    state_bits: tuple[int, ...]  # also with the state mid-prompt rounded to so many bits a number
    loops: tuple[int, ...]  # also with every position stopped after so many loops, fewer or more than were trained

    def __post_init__(self):
        if self.stop not in STOPS:
            raise unknown("evaluate.stop=", self.stop, STOPS)
        if self.steps:
            require_some("evaluate.steps", self.steps, "number of steps")
            require(self.stop == "budget", "evaluate.steps", self.steps, "only evaluate.stop=budget forces a stop")
            require(min(self.steps) >= 0, "evaluate.steps", self.steps, "0 or more are possible")
        if self.state_bits:
            require_some("evaluate.state_bits", self.state_bits, "number of bits")
            possible = min(self.state_bits) >= 1 and max(self.state_bits) <= 32
            require(possible, "evaluate.state_bits", self.state_bits, "1 to 32 bits a number are possible")
        if self.loops:
            require_some("evaluate.loops", self.loops, "number of loops")
            possible = min(self.loops) >= 1 and max(self.loops) <= LOOPS
            require(possible, "evaluate.loops", self.loops, f"1 to {LOOPS} are possible")
        require_some("evaluate.lengths", self.lengths, "length")
        require_some("evaluate.splits", self.splits, "split")
        for split in self.splits:
            if split not in SPLITS:
                raise unknown("evaluate.splits=", split, SPLITS)
        even = self.examples >= 2 and self.examples % 2 == 0
        require(even, "evaluate.examples", self.examples, "an even number is needed, twins come in pairs")


@dataclass(frozen=True)
class Local:
    """On this machine, a process for each run."""

    jobs: int | None  # at a time; None: one for each core, or GPU

    def __post_init__(self):
        require(self.jobs is None or self.jobs >= 1, "launcher.jobs", self.jobs, "1 or more is needed")


@dataclass(frozen=True)
class Slurm:
    """On a cluster, a job for each run."""

    jobs: int  # at a time
    partition: str | None  # None: the cluster's default
    minutes: int  # time limit of a job
    memory: int  # GB of a job
    gpus: int  # of a job
    sbatch: tuple[str, ...]  # more of its options, each as key:value

    def __post_init__(self):
        for key, least in {"jobs": 1, "minutes": 1, "memory": 1, "gpus": 0}.items():
            value = getattr(self, key)
            require(value >= least, f"launcher.{key}", value, f"{least} or more is needed")
        for option in self.sbatch:
            require(OPTION.fullmatch(option) is not None, "launcher.sbatch", self.sbatch, "each is written key:value")


LAUNCHERS = {"local": Local, "slurm": Slurm}
