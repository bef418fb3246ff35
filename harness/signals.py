"""Signals that ask a process to leave set one flag, which long work looks at where it can be left: each update, block.

They are SIGTERM, SIGINT, SIGUSR1, and SIGUSR2, by which SLURM says that a job's time is up.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

_received: list[int] = []


class Interrupted(BaseException):
    """A signal, ``number``, asks this process to leave. ``code`` is what to exit with."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.code = 130 if number == signal.SIGINT else 75  # interrupted; preempted, start me again


def received() -> bool:
    """Whether a signal came."""
    return bool(_received)


def check() -> None:
    """Raise Interrupted if a signal came."""
    if _received:
        raise Interrupted(_received[0])


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)


@contextmanager
def watching() -> Iterator[None]:
    """Catch the signals inside, also those held back before; afterwards they do again what they did before."""
    if signal.getsignal(CAUGHT[0]) is _note:  # whoever began to watch first also ends it
        yield
        return
    before = {number: signal.signal(number, _note) for number in CAUGHT}
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()


@contextmanager
def held() -> Iterator[None]:
    """Hold the signals back inside, for this process and for good in those that it starts, until they watch."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
