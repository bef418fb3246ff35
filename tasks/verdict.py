"""What a law says of what is held against it.

>>> def law_numbers_are_even(number):
...     assert number % 2 == 0, f"{number} is odd"
>>> judge(law_numbers_are_even, 3)
Verdict(law='numbers_are_even', passed=False, detail='3 is odd')
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What a law said. ``detail`` is empty where it passed."""

    law: str
    passed: bool
    detail: str


def judge(law: Callable, *subject: object) -> Verdict:
    """What ``law(*subject)`` says. Any exception is a failure."""
    if not __debug__:
        raise RuntimeError("python -O removes assertions, and with them every law: run without -O")
    name = law.__name__.removeprefix("law_")
    try:
        law(*subject)
    except AssertionError as error:
        return Verdict(name, False, str(error))
    except Exception as error:
        return Verdict(name, False, f"{type(error).__name__}: {error}")
    return Verdict(name, True, "")
