"""Subjects timed against each other: each lies in a process of its own, one works at a time, round after round.

A process of its own, because how an allocator behaves is a matter of the whole process. In rounds, so that whatever
else the machine does meets all of them alike, and a ratio within a round says more than one of two medians.
"""

import importlib.util
import math
import multiprocessing
import signal
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from harness import signals

SPAN = 0.05  # seconds that a repetition should take at least: a short call is made several times
GRACE = 5.0  # seconds that a process has to leave
WARM = 1.0  # seconds after which a call counts as warm, whatever its number

Call = Callable[..., object]


@dataclass(frozen=True)
class Subject:
    """Somebody who can be timed: ``make(*settings)``, in a process of its own, gives the call that is."""

    name: str
    make: Callable[..., Call]  # found by its name in its module, as every function that goes to another process
    settings: tuple[Hashable, ...] = ()
    kept: bool = True  # whether the process keeps the memory that it frees, as every run of the harness does
    needs: str | None = None  # the package that it is made of
    warm: int = 3  # untimed calls before the first that is timed

    @property
    def there(self) -> bool:
        """Whether what it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


@dataclass(frozen=True)
class Effort:
    """How often each call is timed: ``most`` times, or once it took ``seconds`` together, at least ``least`` times."""

    most: int
    least: int
    seconds: float = math.inf

    def enough(self, took: Sequence[float]) -> bool:
        """Whether a call that took so long, repetition by repetition, was timed often enough."""
        return len(took) >= self.most or (len(took) >= self.least and sum(took) >= self.seconds)


class Died(RuntimeError):
    """The process of a subject ended before it was told to; what it said stands on stderr."""


Entry = tuple[Subject, tuple[Any, ...]]  # a subject and what its call is given


@dataclass(frozen=True)
class Timing:
    """The repetitions of one entry, in the order of the rounds."""

    seconds: tuple[float, ...]  # of one call
    calls: int  # in each repetition


def race(entries: Sequence[Entry], effort: Effort, tick: Callable[[], object] = lambda: None) -> list[Timing]:
    """Time every entry; ``tick`` is called after each repetition.

    Every other round goes backwards, so that nobody always comes after the same one. Raises Died for a subject that
    cannot be made or called.
    """
    took: list[list[float]] = [[] for _ in entries]
    whole: list[list[float]] = [[] for _ in entries]
    calls = [1] * len(entries)
    with _processes(dict.fromkeys(subject for subject, _ in entries)) as ask:
        for number in range(effort.most):
            for index in range(len(entries))[:: -1 if number % 2 else 1]:
                if effort.enough(whole[index]):
                    continue
                signals.check()
                seconds, calls[index] = ask(*entries[index])
                took[index].append(seconds)
                whole[index].append(seconds * calls[index])
                tick()
    return [Timing(tuple(seconds), count) for seconds, count in zip(took, calls, strict=True)]


@contextmanager
def _processes(subjects: Sequence[Subject]) -> Iterator[Callable[[Subject, tuple], tuple[float, int]]]:
    """A process for each, all made before any is asked; what is yielded asks one for a repetition."""
    context = multiprocessing.get_context("spawn")  # nobody inherits what another has loaded or allocated
    pipes: dict[Subject, Connection] = {}
    started = []

    def hear(subject: Subject) -> Any:
        try:
            return pipes[subject].recv()
        except EOFError as error:
            raise Died(f"{subject.name} {subject.settings}: its process ended too early") from error

    def ask(subject: Subject, arguments: tuple) -> tuple[float, int]:
        pipes[subject].send(arguments)
        return hear(subject)

    try:
        for subject in subjects:
            pipes[subject], its = context.Pipe()
            process = context.Process(target=_work, args=(its, subject), daemon=True)
            process.start()
            started.append(process)
            its.close()  # so that the death of the process is the end of what can be read
            hear(subject)  # made: one at a time, or they would slow each other down
        yield ask
    finally:
        for pipe in pipes.values():
            pipe.close()
        for process in started:
            process.join(GRACE)
            process.kill()  # nobody has anything to save
            process.join()


def _work(pipe: Connection, subject: Subject) -> None:
    """The life of a process: make the subject, then one repetition for each message, until it is told to leave."""
    import torch

    from harness import memory

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process will end this one
    torch.set_num_threads(1)
    if subject.kept:
        memory.keep()
    call = subject.make(*subject.settings)
    calls: dict[tuple, int] = {}
    pipe.send(None)
    while True:
        try:
            arguments = pipe.recv()
        except EOFError:  # nobody will ask again
            return
        if arguments not in calls:
            calls[arguments] = max(1, math.ceil(SPAN / _warmed(call, arguments, subject.warm)))
        count = calls[arguments]
        if count > 1:  # others have used the caches since
            call(*arguments)
        pipe.send((_timed(call, arguments, count), count))


def _warmed(call: Call, arguments: tuple, most: int) -> float:
    """Seconds of the last of up to ``most`` first calls; as long as a repetition may be if there is none."""
    took: list[float] = []
    while len(took) < most and sum(took) < WARM:
        took.append(_timed(call, arguments, 1))
    return took[-1] if took else SPAN


def _timed(call: Call, arguments: tuple, count: int) -> float:
    """Seconds of one of ``count`` calls."""
    start = perf_counter()
    for _ in range(count):
        call(*arguments)
    return (perf_counter() - start) / count
