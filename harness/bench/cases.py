"""Who meets whom: each comparison is a list of entries that are timed together, in the same rounds.

The ceilings of the machine, a large product and a large copy, take part in every comparison of models: load and clock
vary within a run, so what a figure is a share of is measured between its own repetitions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from harness import config, cost
from harness.bench import commands, subjects
from harness.bench.race import Effort, Subject

OURS, PLAIN, HF, XT = "ours", "ours, plain", "Hugging Face", "x-transformers"
MATRIX, COPY = "matrix", "copy"
FIXED = ("linear", "delta", "gru")  # mixers whose state does not grow
LINEAR = {  # variant -> its settings, where a default does not do
    "linear": (), "performer": (), "cosformer": ("attention.longest={longest}",), "retention": (),
    "gated": ("attention.decay=scalar",), "delta": (), "gated_delta": (), "ssm": (), "window": (),
}  # fmt: skip
BYTES = 4  # of a float32
PEERS = {HF: "transformers", XT: "x_transformers"}
NAMES = ("help", "list tasks", "list studies")
FAMILIES = ("training", "decoding", "linear", "sweep", "startup", "overhead")


OFTEN = Effort(20, 20)
LONG = Effort(20, 3, 1.0)  # single calls of a second and more
FEW = Effort(3, 3)  # calls of many seconds


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    widths: tuple[int, ...] = (64, 128, 256)  # that are trained
    read: tuple[int, ...] = (64, 128)  # the widths of decoding and of mixers alone
    batch: int = 64
    tokens: int = 64
    decoding: tuple[int, int, int] = (256, 64, 128)  # batch, prompt, new tokens
    seen: tuple[int, ...] = (64, 256, 1024, 4096)
    stepping: int = 16  # batch of a mixer that decodes
    ladder: tuple[int, ...] = tuple(2**power for power in range(8, 17))
    softmax: int = 8192  # the longest that its n² is waited for
    model: int = 8192  # tokens that a whole model reads
    updates: int = 1000  # of the run that overhead is a share of
    sweep: tuple[int, int] = (16, 150)  # points and updates of each
    matrices: tuple[int, ...] = (512, 1024, 2048)
    copied: int = 2**25  # numbers
    often: Effort = OFTEN
    long: Effort = LONG
    few: Effort = FEW


FULL = Scale()
QUICK = Scale(
    widths=(16,), read=(16,), batch=4, tokens=8, decoding=(3, 5, 4), seen=(16, 64), stepping=2, ladder=(64, 128, 256),
    softmax=128, model=128, updates=12, sweep=(2, 2), matrices=(64,), copied=2**12,
    often=Effort(2, 2), long=Effort(2, 2), few=Effort(1, 1),
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A subject with what its call is given, and what that call has to do."""

    subject: Subject
    n: int  # tokens of a sequence; the size of a matrix, numbers of a copy, repetitions of a command's work
    arguments: tuple[int | str, ...] = ()
    width: int | None = None
    batch: int = 1
    flops: int | None = None  # matrix products of one call, by formula
    bytes: int | None = None  # that one call has to move at least
    part: str | None = None  # what it is called where one subject does several things

    @property
    def name(self) -> str:
        """What its rows are called."""
        return self.part or self.subject.name


@dataclass(frozen=True)
class Comparison:
    """Entries that are timed together; ratios are to the entry called ``reference`` at the same n."""

    family: str
    case: str
    reference: str
    entries: tuple[Entry, ...]
    effort: Effort


def comparisons(family: str, scale: Scale, root: Path) -> Iterator[Comparison]:
    """The comparisons of one of FAMILIES; commands leave their runs below ``root``."""
    makers = {
        "training": _training, "decoding": _decoding, "linear": _linear,
        "sweep": _sweep, "startup": _startup, "overhead": _overhead,
    }  # fmt: skip
    return makers[family](scale, root)


def _ceilings(scale: Scale) -> tuple[Entry, ...]:
    products = (Entry(Subject(MATRIX, subjects.matrix), n, (n,), flops=2 * n**3) for n in scale.matrices)
    copied = Entry(Subject(COPY, subjects.copy), scale.copied, (scale.copied,), bytes=2 * BYTES * scale.copied)
    return (*products, copied)


def _twice(entry: Entry) -> tuple[Entry, Entry]:
    """A peer as a user would run it, and with an allocator that keeps memory as ours does."""
    return replace(entry, subject=replace(entry.subject, kept=False)), entry


def _peer(name: str, make, settings: tuple, width: int, n: int, batch: int, flops: int, moved: int | None = None):
    subject = Subject(name, make, settings, needs=PEERS[name])
    return _twice(Entry(subject, n, width=width, batch=batch, flops=flops, bytes=moved))


def _training(scale: Scale, root: Path) -> Iterator[Comparison]:
    """A whole update, with every position supervised and with the last alone."""
    size, n = scale.batch, scale.tokens
    for width in scale.widths:
        with torch.device("meta"):
            model = subjects.gpt(width, n)
        every, last = (cost.training_flops(model, subjects.batch(size, n, alone)) for alone in (False, True))
        about = {"n": n, "width": width, "batch": size}
        fitted = Subject(OURS, subjects.ours, (width, size, n, False))
        peers = _peer(HF, subjects.hugging_face, (width, size, n, False), width, n, size, every)
        peers += _peer(XT, subjects.x_transformers, (width, size, n), width, n, size, every)
        entries = (Entry(fitted, flops=every, **about), *peers, *_ceilings(scale))
        yield Comparison("training", "all positions", OURS, entries, scale.often)
        alone = Entry(replace(fitted, settings=(width, size, n, True)), flops=last, **about)
        plain = Entry(Subject(PLAIN, subjects.ours, (width, size, n, True, True)), flops=every, **about)
        peers = _peer(HF, subjects.hugging_face, (width, size, n, True), width, n, size, every)
        yield Comparison("training", "last position", OURS, (alone, plain, *peers, *_ceilings(scale)), scale.often)


def _decoding(scale: Scale, root: Path) -> Iterator[Comparison]:
    """New tokens after a prompt; one more token after n, through a mixer alone."""
    size, prompt, count = scale.decoding
    for width in scale.read:
        with torch.device("meta"):
            model = subjects.gpt(width, prompt + count)
        passes = cost.passes("causal", prompt, count, ())
        flops = size * sum(cost.forward_flops(model, one, 1) for one in passes)
        states = sum(block.mixer.state_size(one.seen + one.tokens) for one in passes for block in model.blocks)
        moved = BYTES * (size * states + len(passes) * sum(weight.numel() for weight in model.parameters()))
        settings, about = (width, size, prompt, count), {"n": prompt + count, "width": width, "batch": size}
        mine = Entry(Subject(OURS, subjects.ours_decoding, settings), flops=flops, bytes=moved, **about)
        peers = _peer(HF, subjects.hugging_face_decoding, settings, width, prompt + count, size, flops, moved)
        yield Comparison("decoding", "generate", OURS, (mine, *peers, *_ceilings(scale)), scale.often)
    width, entries = scale.read[0], []
    for kind in ("softmax", *FIXED):
        settings = config.variant([f"attention={kind}"]).settings
        with torch.device("meta"):
            one = subjects.mixer(kind, settings, width)
        weights = sum(weight.numel() for weight in one.parameters())
        stepping = Subject(kind, subjects.stepping, (kind, settings, width, scale.stepping))
        for n in scale.seen:
            flops = scale.stepping * one.flops(1, n)
            moved = BYTES * (weights + scale.stepping * one.state_size(n))
            about = {"width": width, "batch": scale.stepping}
            entries.append(Entry(stepping, n, (n,), flops=flops, bytes=moved, **about))
    yield Comparison("decoding", "one token", "softmax", (*entries, *_ceilings(scale)), scale.often)


def _linear(scale: Scale, root: Path) -> Iterator[Comparison]:
    """Mixers alone and whole models against fused softmax, forward and backward, one sequence."""
    for width in scale.read:
        entries = []
        for kind, words in {"softmax": (), **LINEAR}.items():
            line = [word.format(longest=scale.ladder[-1]) for word in words]
            settings = config.variant([f"attention={kind}", *line]).settings
            with torch.device("meta"):
                one = subjects.mixer(kind, settings, width)
            mixing = Subject(kind, subjects.mixing, (kind, settings, width))
            for n in scale.ladder:
                if kind != "softmax" or n <= scale.softmax:
                    least = BYTES * 4 * n * width  # the input, the output, the gradients of both
                    entries.append(Entry(mixing, n, (n,), width, 1, one.training_flops(n), least))
        yield Comparison("linear", "mixer alone", "softmax", (*entries, *_ceilings(scale)), scale.long)
        entries = []
        for kind in ("softmax", "linear"):
            settings = config.variant([f"attention={kind}"]).settings
            with torch.device("meta"):
                model = subjects.gpt(width, 0, kind, settings)
            whole = Subject(kind, subjects.model_mixing, (kind, settings, width))
            flops = cost.training_flops(model, subjects.batch(1, scale.model, last=False))
            entries.append(Entry(whole, scale.model, (scale.model,), width, 1, flops))
        yield Comparison("linear", "whole model", "softmax", (*entries, *_ceilings(scale)), scale.long)


def _sweep(scale: Scale, root: Path) -> Iterator[Comparison]:
    """One command for all points, two at a time, against a command for each."""
    points, updates = scale.sweep
    line = ("task=parity", "train.lengths=[8]", "evaluate.lengths=[8]", "evaluate.examples=200", "train.stop_at=2")
    line += (f"train.updates={updates}", "device=cpu")
    apart = Subject("separate commands", commands.separate, (line, points, str(root / "separate")), warm=0)
    swept = Subject("one sweep", commands.sweep, (line, points, str(root / "sweep"), 2), warm=0)
    entries = (Entry(apart, points), Entry(swept, points))
    yield Comparison("sweep", f"{points} points", apart.name, entries, scale.few)


def _startup(scale: Scale, root: Path) -> Iterator[Comparison]:
    """Commands that answer at once, and how soon a run makes its first update."""
    words = {"help": ("--help",)} | {name: tuple(name.split()) for name in NAMES[1:]}
    entries = [Entry(Subject(name, commands.command, (said,), warm=1), 1) for name, said in words.items()]
    line = ("task=parity", "train.lengths=[4]", "train.updates=1", "train.validate_examples=2", "evaluate.lengths=[4]")
    line += ("device=cpu",)
    first = Subject("first update", commands.first_update, (line, str(root / "first")), warm=1)
    yield Comparison("startup", "commands", "", (*entries, Entry(first, 1)), scale.often)


def _overhead(scale: Scale, root: Path) -> Iterator[Comparison]:
    """What a run does beside its updates, part by part."""
    line = ("task=pairwise", "train.lengths=[16]", "evaluate.lengths=[16]", f"train.updates={scale.updates}")
    line += ("train.stop_at=2", "device=cpu")
    with torch.device("meta"):
        (experiment,) = config.points(line)
        model = commands.build(experiment)
    drawn = commands.Source.of(experiment).batch(16, experiment.train.batch)
    flops = {name: scale.updates * cost.training_flops(model, drawn) for name in ("whole run", "bare updates")}
    # in one process: two that do the same differ by more than what is looked for
    run = Subject("run", commands.parts, (line, str(root / "run")), warm=0)
    entries = tuple(Entry(run, 16, (name,), flops=flops.get(name), part=name) for name in commands.PARTS)
    yield Comparison("overhead", f"{scale.updates} updates", "whole run", (*entries, *_ceilings(scale)), scale.few)
