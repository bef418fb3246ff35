"""Who sees whom, by gradient: a variant's masks as small pictures.

A column is an input, a line two outputs: ``█`` both depend on the input, ``▀`` the upper alone, ``▄`` the lower alone,
``·`` neither, exactly.
"""

from collections.abc import Iterator

from torch import Tensor, stack

from harness.attention.base import MASKS, hold_prefix
from harness.attention.softmax import allowed
from harness.attention.trial import Variant, gradients, make, numbers

TOKENS = 24  # more than a window of 16 reaches
PREFIX = {"causal": 0, "prefix": 10, "encoder": TOKENS}


def seen(variant: Variant, prefix: int, tokens: int = TOKENS) -> Tensor:
    """(T, T), true where output t has a gradient to input j: of one head with random weights, on a random sequence.

    Raises ValueError for a prefix that the variant refuses.
    """
    mixer, x = make(lambda width, heads: variant(width, 1)), numbers(tokens)
    hold_prefix(prefix, tokens, None, mixer.masks)
    out, _ = mixer(x[:1], prefix=prefix)
    return stack([gradients(out[0, t], [x])[0][0].abs().amax(-1) != 0 for t in range(tokens)])


def picture(variant: Variant) -> list[str]:
    """The masks that the variant has, side by side, in lines; further lines name what is seen against the mask."""
    masks = [mask for mask in MASKS if mask in make(variant).masks]
    found = {mask: seen(variant, PREFIX[mask]) for mask in masks}
    titles = [f"prefix of {PREFIX[mask]}" if mask == "prefix" else mask for mask in masks]
    rows = [titles, *zip(*(drawn(grid) for grid in found.values()), strict=True)]
    lines = ["   ".join(f"{cell:<{TOKENS}}" for cell in row).rstrip() for row in rows]
    return lines + [leak for mask, grid in found.items() for leak in leaks(mask, grid)]


def drawn(grid: Tensor) -> list[str]:
    """(T, T) in T / 2 lines."""
    pairs = zip(grid[::2].tolist(), grid[1::2].tolist(), strict=True)
    return ["".join("·▄▀█"[2 * up + low] for up, low in zip(*pair, strict=True)) for pair in pairs]


def leaks(mask: str, grid: Tensor) -> Iterator[str]:
    """One sentence if an output depends on an input that the mask hides from it."""
    hidden = (grid & ~allowed(len(grid), len(grid), PREFIX[mask], grid.device)).nonzero().tolist()
    if hidden:
        (t, j), *more = hidden
        yield f"LEAKS: with mask={mask} output {t} depends on input {j}, and {len(more)} more pairs should not"
