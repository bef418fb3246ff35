"""The sequence maps, one variant a file: a file here and a yaml in ``conf/attention`` *are* its registration."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from harness.attention.base import MASKS, Attention, Bias, Mixer, Rotate, State, unrotated
from tasks import folder

__all__ = ["MASKS", "Attention", "Mixer", "State", "configured", "load", "names"]


def names() -> list[str]:
    """The names of all variants, sorted."""
    rooms = {"audit", "base", "check", "growth", "kernel", "measured", "price", "recurrence", "rnn", "trial"}
    return folder.names(__path__, rooms)


def load(name: str) -> type[Mixer]:
    """The class that ``harness/attention/<name>.py`` defines. Raises TypeError unless it defines exactly one."""
    return folder.only(f"harness.attention.{name}", Mixer)


def configured(
    name: str,
    settings: Iterable[tuple[str, Any]],
    mask: str = "causal",
    rotate: Rotate = unrotated,
    bias: Bias | None = None,
) -> Callable[[int, int], Mixer]:
    """(width, heads) -> a mixer of this variant with these settings, placed by ``rotate`` and ``bias``.

    Raises ValueError for a mask that the variant cannot keep, and for a place given to what it does not have.
    """
    kind = load(name)
    if mask not in kind.masks:
        raise ValueError(f"mask={mask}: attention={name} can be {' or '.join(kind.masks)}")
    queried, biased = issubclass(kind, Attention), getattr(kind, "biased", False)
    if rotate is not unrotated and not queried:
        raise ValueError(f"position=rotary: attention={name} has no queries and keys to rotate")
    if bias is not None and not biased:
        raise ValueError(f"position=alibi: attention={name} has no scores to take distances from")
    placed = {"rotate": rotate} if queried else {}
    return partial(kind, **placed, **({"bias": bias} if biased else {}), **dict(settings))
