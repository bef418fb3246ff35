"""Say what is known of a task and count what can be counted without training: residual classes at every cut, and more.

With --curve, count the classes for several values of a setting and draw them against the length.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.nearest import Refusal, refusing
from harness.verbs.rows import add_results

CALCULATORS = ("communication", "sensitivity", "decision_rank")  # beside the classes: rows(task, length)
LENGTHS = "2,4,8,16,32"  # of a curve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow."""
    what = "task=NAME, its settings, length=N,N,... witness=NAME"
    parser.add_argument("settings", nargs="+", metavar="key=value", help=what)
    several = "draw classes against length for each value; of several settings the first values go together, and so on"
    parser.add_argument("--curve", action="append", default=[], metavar="KEY=V,V,...", help=several)
    add_results(parser)


def run(arguments: argparse.Namespace) -> int:
    """See above."""
    named = dict(word.split("=", 1) for word in arguments.settings if word.startswith("length="))
    settings = [word for word in arguments.settings if not word.startswith("length=")]
    if not any(word.startswith("task=") for word in settings):
        raise Refusal("theory: task=NAME is needed")
    if arguments.curve:
        return _draw(settings, arguments.curve, _lengths(named.get("length", LENGTHS)), arguments.results)
    lengths = _lengths(named["length"]) if "length" in named else []
    if chosen := [word.partition("=")[2] for word in settings if word.startswith("witness=")]:
        return _witness([word for word in settings if not word.startswith("witness=")], chosen[-1], lengths, arguments)
    task = _task(settings)
    with refusing():
        for length in lengths:
            task.refuse(length, "natural")
    for line in _said(task, lengths):
        print(line, flush=True)
    return 0


def _witness(settings: Sequence[str], name: str, lengths: Sequence[int], arguments: argparse.Namespace) -> int:
    """Evaluate weights that are set by hand, and say why they are right."""
    from harness import constructed, store
    from harness.report import summary

    of_evaluation = [word for word in settings if word.startswith("evaluate.")]
    task = _task([word for word in settings if word not in of_evaluation])
    where = constructed.run(task, name, lengths or [task.shortest], of_evaluation, arguments.results)
    print(summary.table(store.read_run(where)))
    print(f"\nwitness={name}, by hand: {constructed.WITNESSES[name].evidence}\n{where}")
    return 0


def _said(task, lengths: Sequence[int]) -> Iterator[str]:
    """What is known, and what each calculator gives or why it does not, in lines."""
    from harness.catalogue import aligned
    from harness.theory import classes

    bounds = vars(task.theory).items()
    exact = {True: "exact", False: ""}
    yield aligned([["known", "", "", ""], *([name, b.bound, exact[b.exact], b.condition] for name, b in bounds)])
    yield ""
    known = task.classes()
    yield from _or_why("classes", lambda: [_all_lengths(classes.count(task), classes.natural(task))])
    yield f"classes, by the task's own formula: {'not known' if known is None else _number(known)}"
    for length in lengths:
        yield ""
        yield from _or_why("classes", lambda length=length: _table(classes.rows(task, [length])))
        bits = task.state_bits(length)
        yield f"state in the middle, by the task's own formula: {'not known' if bits is None else f'{bits:.6g} bits'}"
        for name, module in _calculators().items():
            yield ""
            yield name
            yield from _or_why(name, lambda module=module, length=length: _table(module.rows(task, length)))


def _draw(settings: Sequence[str], curves: Sequence[str], lengths: Sequence[int], results: Path) -> int:
    """Count for each value, print and write the table, draw it."""
    axes = {key: values.split(",") for key, _, values in (curve.partition("=") for curve in curves)}
    for key, values in axes.items():
        if not key.startswith("task.") or not all(values):
            raise Refusal(f"--curve {key}={','.join(values)}: a setting of the task is needed, such as task.dim=2,3,4")
    if len(set(map(len, axes.values()))) > 1:
        counts = ", ".join(f"{len(values)} of {key}" for key, values in axes.items())
        raise Refusal(f"--curve: there are {counts}; as many values of each are needed")
    fixed = [word for word in settings if word.partition("=")[0] not in axes]
    points = [[f"{key}={v}" for key, v in zip(axes, of, strict=True)] for of in zip(*axes.values(), strict=True)]
    tasks = {" ".join(point).replace("task.", ""): _task([*fixed, *point]) for point in points}
    from harness.theory import classes

    with refusing():
        rows = list(classes.curve(tasks, lengths))
    print("\n".join(_table(rows)))
    for setting, task in tasks.items():
        last = max(row["length"] for row in rows if row["setting"] == setting)
        if last < max(length for length in lengths if length <= task.longest):
            print(f"{setting}: up to length {last}, the next of these is too long to be counted")
    import pandas as pd

    from harness import store
    from harness.report import figures  # matplotlib

    table = pd.DataFrame(rows)
    table["classes"] = table["classes"].astype(float)
    label = "residual classes at the worst cut"
    figure = figures.table_against_length(table, "classes", "setting", label=label)
    name = next(word for word in settings if word.startswith("task=")).removeprefix("task=")
    path = store.figures(results) / "-".join([name, "classes", *(key.removeprefix("task.") for key in axes)])
    for kind in ("png", "svg"):
        store.write(path.with_suffix(f".{kind}"), figures.render(figure, kind))
    store.write(path.with_suffix(".csv"), store.to_csv(rows, rows[0]))
    print(f"\n{path}.csv  {path}.png")
    return 0


def _lengths(text: str) -> list[int]:
    """Lengths with commas between them, rising."""
    words = text.split(",")
    if not all(map(str.isdecimal, words)):
        raise Refusal(f"length={text}: theory needs lengths, integers with commas between them")
    return sorted(set(map(int, words)))


def _task(settings: Sequence[str]):
    """The task of a command line; no model is built, so its context does not matter."""
    from harness import config

    (point,) = config.points([*settings, "model.context=1000000"])
    return point.task


def _calculators() -> Mapping[str, Any]:
    """Those that there are."""
    import importlib.util

    found = [name for name in CALCULATORS if importlib.util.find_spec(f"harness.theory.{name}")]
    return {name: importlib.import_module(f"harness.theory.{name}") for name in found}


def _or_why(name: str, found) -> Iterable[str]:
    """The lines, or the one sentence of their refusal."""
    try:
        return found()
    except ValueError as error:
        return [f"{name}: {error}"]


def _all_lengths(count: int, states: int) -> str:
    return f"classes, prompts of all lengths: {_number(count)}; the automaton that is minimised has {states:,} states"


def _number(classes: int) -> str:
    from math import log2

    return f"{classes:,} ({log2(classes):.6g} bits)" if classes < 10**9 else f"2^{log2(classes):.6g}"


def _table(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rows as aligned lines under the names of their columns."""
    from harness.catalogue import aligned

    found = list(rows)
    cells = [[f"{v:.6g}" if isinstance(v, float) else str(v) for v in row.values()] for row in found]
    return aligned([list(next(iter(found), {})), *cells]).splitlines()
