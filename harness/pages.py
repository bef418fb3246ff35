"""The pages of the documents that the code writes: every task, and every variant of attention, a section each."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from inspect import cleandoc

import tasks
from harness import groups
from harness.catalogue import about, changed, example, twin, variant
from tasks.base import Task


def page(shelf: str) -> str:
    """One of ``PAGES`` as Markdown, the same on every machine: nothing in it is timed."""
    return "\n".join(PAGES[shelf]()) + "\n"


def _tasks() -> Iterator[str]:
    yield "# Tasks"
    yield ""
    yield "Every problem: its question, an example and its twin (the edit in brackets), the algorithms that solve it in"
    yield "the open with their step laws, what is known of its cost. The first command below wrote this page. When a"
    yield "task is a test of anything: [validity](validity.md). Writing one: [adding](adding.md)."
    yield ""
    yield from ("```bash", "python -m harness list tasks --page", "python -m harness list traces", "```")
    yield ""
    yield from _table(["task", "question"], [[f"[`{n}`](#{n})", about(tasks.load(n))] for n in tasks.names()])
    for name in tasks.names():
        yield from _task(name, tasks.load(name)())


def _task(name: str, task: Task) -> Iterator[str]:
    yield from ("", f"## {name}", "", f"**{about(type(task))}**")
    yield ""
    settings = ", ".join(f"`{key}={value}`" for key, value in asdict(task).items()) or "none"
    yield f"Settings: {settings}. Lengths {task.shortest} to {task.longest}, {task.vocab} tokens."
    if task.shortcuts:
        yield f"Cheap rules that solve it by its nature: {', '.join(f'`{rule}`' for rule in task.shortcuts)}."
    yield from ("", "```text", *twin(task, example(task)), "```")
    for other in type(task).variations():
        yield from ("", f"With `{changed(other)}`:", "", "```text", *twin(other, example(other)), "```")
    rows = {}
    for one in (task, *type(task).variations()):
        for trace, how in one.traces.items():
            counts = [str(how.count(n)) if task.shortest <= n <= task.longest else "" for n in (8, 16, 32)]
            rows.setdefault(trace, [f"`{trace}`", how.law, *counts, str(how.width)])
    yield ""
    if rows:
        yield from _table(["trace", "steps", "n = 8", "16", "32", "tokens per step"], rows.values())
    else:
        yield "No trace: what is asked is said before a step could be written, or is itself the derivation."
    yield ""
    bounds = [
        [resource, bound.bound, bound.condition, bound.source, "exact" if bound.exact else "asymptotic"]
        for resource, bound in vars(task.theory).items()
    ]
    yield from _table(["cost", "bound", "when", "source", ""], bounds)


def _attention() -> Iterator[str]:
    from harness import attention  # torch
    from harness.attention import growth

    yield "# Attention"
    yield ""
    yield "Every sequence map: (B, T, C) → (B, T, C), given twice. `forward` is the fast form, `naive` the paper's"
    yield "formula in a loop over positions; a law holds the two equal in value and in every gradient, in float64."
    yield "The first command below wrote this page; the second holds the laws against a variant with your settings,"
    yield "prints its growth beside measured seconds and bytes, and draws the pictures."
    yield ""
    yield from ("```bash", "python -m harness list attention --page", "python -m harness check attention=linear", "```")
    yield ""
    yield "Costs are exact, for one layer of width 64 with 4 heads and one sequence; what is counted is told in"
    yield "[cost](cost.md). A law was found by differences: of a token's price and of the state at every n from 0 to"
    yield "4097, of sums over n tokens at multiples of 1024, where chunks are whole. In a picture a column is an"
    yield "input and a line two outputs: `█` both depend on the input, `▀` the upper alone, `▄` the lower alone, `·`"
    yield "neither; one head, random weights, 24 tokens, found by gradient."
    yield ""
    yield "Masks, positions and rotations: [masks](masks.md). Writing a variant: [adding](adding.md)."
    yield "`attention=hybrid attention.layers=[softmax,linear]` has one in each layer."
    yield ""
    prices = {name: list(growth.rows(variant(name)(64, 4))) for name in attention.names()}
    cells = ([f"[`{name}`](#{name})", about(attention.load(name)), *_brief(known)] for name, known in prices.items())
    yield from _table(["variant", "", "state after n tokens", "FLOPs of training", "pairs of one more"], cells)
    for name, known in prices.items():
        yield from _variant(name, known)


def _brief(prices: Sequence[Sequence[str]]) -> list[str]:
    """The laws of three of its prices."""
    laws = {(what, unit): words for what, unit, _, words, _ in prices}
    wanted = [("state", "numbers"), ("training pass", "FLOPs"), ("one more token", "pairs")]
    return [laws.get(price, "none") for price in wanted]


def _variant(name: str, prices: Sequence[Sequence[str]]) -> Iterator[str]:
    from harness import attention  # torch
    from harness.attention.audit import picture

    kind = attention.load(name)
    yield from ("", f"## {name}", "", " ".join([f"**{about(kind)}**", *paragraph(kind)]))
    yield from ("", "```text", kind.formula, "```", "")
    yield f"{kind.source}; [`{name}.py`](../harness/attention/{name}.py). Masks: {', '.join(kind.masks)}."
    yield ""
    if found := settings(name):
        yield from (*_table(["setting", "default", ""], found), "")
    yield from _table(["price of", "in", "grows", "by the law", "at n = 1024"], prices)
    yield ""
    if counted := list(_counted(kind)):
        yield from (*counted, "")
    refused = list(_refused(name, kind))
    yield "Refused:" if refused else "Every mask can be kept, and every position has its place."
    yield from ("", *(f"- `{sentence}`" for sentence in refused)) if refused else ()
    yield from ("", "```text", *picture(variant(name)), "```")


def paragraph(documented: object) -> list[str]:
    """The first paragraph of somebody's own docstring; none of one that says nothing or points elsewhere."""
    text = cleandoc(documented.__doc__ or "").split("\n\n")[0]
    said = re.sub(r":\w+:`([^`]*)`", r"`\1`", " ".join(text.split())).replace("``", "`")
    return [said] if said and not said.startswith("See ") else []


def _counted(kind: type) -> Iterator[str]:
    """What each method of the price says that it counts."""
    mixing, flops = "FLOPs beside the projections", getattr(kind, "mix_flops", None)
    methods = {"State": kind.state_size, **({mixing: flops} if flops else {"FLOPs": kind.flops})}
    methods |= {"Pairs": kind.scored_pairs, "Serial steps": kind.serial_steps}
    yield from (f"- {what}: {said}" for what, method in methods.items() for said in paragraph(method))


def settings(name: str) -> list[list[str]]:
    """Each setting of a yaml with its default and its comment, which may go on in lines of its own."""
    found: list[list[str]] = []
    for line in groups.text("attention", name).splitlines():
        before, _, comment = line.partition("#")
        key, colon, value = before.partition(":")
        if colon and key != "name":
            found.append([f"`attention.{key.strip()}`", f"`{value.strip()}`", comment.strip()])
        elif comment and found:
            found[-1][2] += f" {comment.strip()}"
    return found


def _refused(name: str, kind: type) -> Iterator[str]:
    """What a user would be told, of each mask and each kind of position that the variant cannot have."""
    from harness import attention  # torch

    mask = kind.masks[0]
    tried = [{"mask": other} for other in attention.MASKS]
    tried += [{"mask": mask, "rotate": lambda x, seen: x}, {"mask": mask, "bias": lambda queries, keys, heads: queries}]
    for asked in tried:
        try:
            attention.configured(name, (), **asked)
        except ValueError as error:
            yield str(error)


def _table(heading: Sequence[str], rows) -> Iterator[str]:
    for cells in (heading, ["---"] * len(heading), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


PAGES = {"tasks": _tasks, "attention": _attention}
