"""Refusals that help: the nearest allowed word to a mistyped one."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Refusal(ValueError):
    """What a user asked for cannot be done. One line: what was wrong, what was given, what is allowed."""

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.split()))


@contextmanager
def refusing() -> Iterator[None]:
    """What is found wrong inside, with ValueError, is the user's to mend: it becomes a Refusal."""
    try:
        yield
    except ValueError as error:
        raise Refusal(str(error)) from error


def printable(text: object) -> str:
    """What a terminal shows as it stands: one line, without the characters that would steer it."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def unknown(what: str, given: object, allowed: Iterable[str], shown: Iterable[str] | None = None) -> Refusal:
    """The refusal of a name that does not exist: the nearest that does, and all that do (or ``shown`` of them).

    ``what`` leads up to the name: ``"task="``, ``"verb "``.
    """
    allowed = list(allowed)
    near = difflib.get_close_matches(str(given), allowed, n=1, cutoff=0.5)
    guess = f", did you mean {near[0]}?" if near else "."
    choice = ", ".join(allowed if shown is None else shown) or "none"
    return Refusal(f"{what}{given} does not exist{guess} There is: {choice}")
