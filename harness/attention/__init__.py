"""The sequence maps, one variant a file: a file here and a yaml in ``conf/attention`` *are* its registration."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from harness.attention.base import Attention, Mixer, State
from tasks import folder

__all__ = ["Attention", "Mixer", "State", "configured", "load", "names"]


def names() -> list[str]:
    """The names of all variants, sorted."""
    return folder.names(__path__, rooms={"base", "check"})


def load(name: str) -> type[Mixer]:
    """The class that ``harness/attention/<name>.py`` defines. Raises TypeError unless it defines exactly one."""
    return folder.only(f"harness.attention.{name}", Mixer)


def configured(name: str, settings: Iterable[tuple[str, Any]]) -> Callable[[int, int], Mixer]:
    """(width, heads) -> a mixer of this variant with these settings."""
    return partial(load(name), **dict(settings))
