"""The laws, held against somebody's own task and variant with their own settings, and what that variant costs."""

from collections.abc import Iterator, Sequence

import torch
from tqdm import tqdm

from harness import attention
from harness.attention import audit, growth, measured
from harness.attention.check import check_variant
from harness.attention.trial import Variant
from harness.catalogue import aligned
from harness.nearest import refusing
from harness.settings import HYBRID, Choice
from tasks.base import Task
from tasks.check import Verdict, check_task

TIMED = {  # a price -> the measured seconds that stand beside it
    ("training pass", "FLOPs"): "training",
    ("prompt", "FLOPs"): "prompt",
    ("one more token", "FLOPs"): "decoding",
}


def of_task(task: Task) -> list[Verdict]:
    """Every law of ``tasks/check.py``."""
    return check_task(task)


def variants(chosen: Choice, mask: str | None = None) -> list[Choice]:
    """What is checked: the variant itself, of a hybrid each once. Raises Refusal for what cannot be built."""
    found = list(dict.fromkeys(dict(chosen.settings)["layers"])) if chosen.name == HYBRID else [chosen]
    for one in found:
        _variant(one, mask)
    return found


def of_variant(chosen: Choice, defaults: Choice, mask: str | None = None) -> list[Verdict]:
    """Every law of ``harness/attention/check.py``; the golden fingerprint is that of the default settings."""
    found = check_variant(_variant(chosen, mask))
    return [verdict for verdict in found if chosen == defaults or "golden" not in verdict.law]


def verdicts(name: str, found: list[Verdict]) -> Iterator[str]:
    """The verdicts in lines."""
    yield f"{name}: {sum(v.passed for v in found)} of {len(found)} laws hold"
    for verdict in found:
        yield f"  {'holds' if verdict.passed else 'FAILS'}  {verdict.law.replace('_', ' ')}"
        if not verdict.passed:
            yield f"         {verdict.detail}"


def cost(chosen: Choice, mask: str | None = None, quiet: bool = False) -> Iterator[str]:
    """In lines: exact growth beside the measured one, one pass against many, and who sees whom."""
    variant = _variant(chosen, mask)
    mixer = variant(measured.WIDTH, measured.HEADS)
    mask = mixer.masks[0] if mask is None else mask
    sizes = tqdm(measured.LADDER, desc="measure", unit=" sizes", disable=quiet or None)
    seen = list(measured.ladder(variant, mask, sizes))
    size = f"one layer of width {measured.WIDTH}, {measured.HEADS} heads, one sequence"
    yield f"cost of {chosen.name}, {size}, mask={mask}"
    heading = ["  price of", "in", "grows", "by the law", "at n = 1024", "seconds grow like"]
    yield aligned([heading, *_priced(mixer, mask, seen)])
    yield ""
    yield "measured in float32 on one thread"
    heading = ["  n", "training pass", "prompt", "one more token", "peak memory of training"]
    yield aligned([heading, *map(_took, seen), *_exponents(seen)])
    yield ""
    yield _together(variant, mixer)
    yield ""
    yield "who sees whom, by gradient: a column is an input, a line two outputs (▀ the upper sees it, ▄ the lower)"
    yield from (f"  {line}" for line in audit.picture(variant))


def _variant(chosen: Choice, mask: str | None) -> Variant:
    torch.set_num_threads(1)  # tiny products: sharing the cores makes them many times slower
    with refusing():
        mask = attention.load(chosen.name).masks[0] if mask is None else mask
        variant = attention.configured(chosen.name, chosen.settings, mask)
        variant(measured.WIDTH, measured.HEADS)
    return variant


def _priced(mixer: attention.Mixer, mask: str, seen: Sequence[measured.Measured]) -> Iterator[list[str]]:
    for what, unit, *known in growth.rows(mixer, mask):
        yield [f"  {what}", unit, *known, _power(seen, TIMED[what, unit]) if (what, unit) in TIMED else ""]


def _took(one: measured.Measured) -> list[str]:
    times = ["none" if t is None else f"{1000 * t:.3g} ms" for t in (one.training, one.prompt, one.decoding)]
    return [f"  {one.tokens}", *times, f"{one.peak:,} bytes"]


def _exponents(seen: Sequence[measured.Measured]) -> Iterator[list[str]]:
    if len(seen) > 1:
        yield ["  like", *(_power(seen, column) for column in ("training", "prompt", "decoding", "peak"))]


def _power(seen: Sequence[measured.Measured], column: str) -> str:
    """n^e of one column, where there are two sizes and something to measure."""
    values = [getattr(one, column) for one in seen]
    if len(values) < 2 or None in values:
        return ""
    return f"n^{measured.exponent([one.tokens for one in seen], values):.2f}"


def _together(variant: Variant, mixer: attention.Mixer) -> str:
    if "causal" not in mixer.masks:
        return "one pass trains one token: each of n needs a pass of its own, over all before it"
    found = measured.together(variant)
    apart = f"losses differ by {found.loss:.0e}, gradients by {found.gradient:.0e}"
    n, faster = found.tokens, f"{found.faster:.0f} times faster"
    return f"one pass over {n} tokens is {n} passes over their prefixes, {faster} ({apart})"
