"""The report: verdicts, figures, runs, settings and machines on one static page that loads nothing and runs nothing.

Whatever comes from data is text by the time it is written: the template escapes it, control characters are shown
instead of sent, and of a figure's svg only what draws is kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.report import compare
from harness.report.claims import WORDS, Verdict
from harness.report.select import ACCURACY, SPLITS, STATUS, at_trained_steps, complete, lines, word
from harness.report.svg import STRANGE, Picture, inline, seen

SIGNS = dict(zip(WORDS, "✓✗?!…", strict=True))  # a badge is coloured, worded and signed
OPEN = 300  # runs up to which their tables are unfolded

LEVELS = (
    ("L0", "Data", "The same task, split, length, index and seed give the same bytes on every machine."),
    ("L1", "A run", "The same run id and the same fingerprint give the same weights and the same rows, bit for bit."),
    ("L2", "Interruption", "A run that was stopped and resumed, however often, ends as if it had never been stopped."),
    ("L3", "Company", "Alone, in a sweep, in any order, by any launcher: the rows of a run are the same."),
    ("L4", "Machines", "Another processor, torch or number of threads gives close numbers; what differs stands below."),
    ("L5", "Conclusions", "What is claimed holds over seeds, with intervals; a single run decides nothing."),
)


_Scores = dict[tuple[str, str], dict[float, tuple[float, ...]]]  # (run, split) -> length -> accuracy, low, high
_QUESTION = ("run", "split", "length", "in_range", "steps", "steps_trained", "stop")
_QUESTION += ("bits_per_number", "forced_loops")


class _Grid(NamedTuple):
    """A table: what is the same in every row, the headings, the cells."""

    same: str
    head: list[str]
    body: list[list[str]]


class _Group(NamedTuple):
    """The runs of one recipe."""

    label: str
    summary: str
    runs: list[dict[str, Any]]


def page(
    rows: pd.DataFrame,
    verdicts: Sequence[Verdict],
    pictures: Sequence[Picture],
    configs: Mapping[str, str],
    fingerprints: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any],
) -> str:
    """``report.html``: rows as `store.read` gives them, configs: run -> yaml, fingerprints: run -> what it ran on.

    about: ``command``, ``version``, ``commit``, ``when`` of the page, and ``studies``, the commands that repeat them;
    each may be absent. The same arguments give the same page. Raises ValueError, naming it, for a picture that is no
    svg.
    """
    rows = complete(rows.reset_index(drop=True) if len(rows) else pd.DataFrame(columns=["run"]))
    runs = list(rows["run"].unique())
    names = list(dict.fromkeys([*runs, *configs, *fingerprints]))
    ended = Counter(rows.drop_duplicates("run")["status"].map(_how))
    places = _ids("claim", (verdict.claim.name for verdict in verdicts))
    figures = [(f"figure-{number}", one, inline(one, f"f{number}-")) for number, one in enumerate(pictures, start=1)]
    groups = list(_groups(rows))
    machines, of_run = _machines(fingerprints)
    claimed = [verdict for verdict in verdicts if verdict.size]
    repeats = about.get("studies") or dict.fromkeys(
        f"python -m harness study={verdict.claim.study} study.size={verdict.size}" for verdict in claimed
    )
    told = {key: value for key, value in about.items() if key != "studies" and word(value)}
    counts = Counter(verdict.word for verdict in verdicts)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        about=told,
        claims=[_claim(verdict) | {"id": place} for place, verdict in zip(places, verdicts, strict=True)],
        counted=[f"{counts[name]} {name}" for name in WORDS if name in counts],
        signs=SIGNS,
        figures=figures,
        comparisons=list(_comparisons(rows)),
        groups=groups,
        unfolded=len(names) <= OPEN,
        total=len(runs),
        ended=[f"{count} {how}" for how, count in ended.most_common()],
        run_ids=dict(zip(runs, _ids("run", runs), strict=True)),
        config_ids=dict(zip(names, _ids("settings", names), strict=True)),
        names=names,
        configs=configs,
        machines=machines,
        of_run=of_run,
        differing=list(_differing(machines, of_run)),
        levels=LEVELS,
        repeats=list(repeats),
    )


def _ids(kind: str, names: Iterable[str]) -> list[str]:
    """The id of each one's place on the page, no two the same."""
    found: dict[str, None] = {}
    for name in names:
        plain = f"{kind}-{STRANGE.sub('_', str(name))}"
        choices = chain([plain], (f"{plain}.{number}" for number in count(2)))
        found[next(own for own in choices if own not in found)] = None
    return list(found)


def _claim(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the template reads it."""
    claim = verdict.claim
    facts = {
        "Statistic": claim.measured,
        "Supported if": claim.supported_if,
        "Refuted if": claim.refuted_if,
        "Over its cells": f"{claim.over} of {len(verdict.cells)}" if len(verdict.cells) > 1 else "",
        "What is missing": claim.missing,
        "Needs": claim.needs,
        "The note says": claim.note,
        "What can be said": claim.corrected,
        "What would change our mind": claim.mind,
    }
    return {
        "verdict": verdict,
        "claim": claim,
        "facts": {key: value for key, value in facts.items() if value},
        "cells": [cell.told for cell in verdict.cells],
        "kind": verdict.word.replace(" ", "-") if verdict.word in WORDS else "unknown",
    }


def _comparisons(rows: pd.DataFrame) -> Iterator[tuple[str, _Grid]]:
    """task -> its table of recipes."""
    for task, of_task in rows.groupby("task"):
        same, columns = compare.shown(compare.table(of_task, allow_mixed=True))
        stripped = [[cell.strip() for cell in column.cells] for column in columns]
        head, *body = (list(line) for line in zip(*stripped, strict=True))
        yield str(task), _Grid(same, head, body)


def _groups(rows: pd.DataFrame) -> Iterator[_Group]:
    """The runs, recipe by recipe; those that are too damaged to have one stand last."""
    scores = at_trained_steps(rows.loc[rows["accuracy"].notna(), [*_QUESTION, *ACCURACY]])
    scores = scores[scores["split"].isin(SPLITS) & scores["in_range"].eq(True)]
    found: _Scores = {}
    for run, split, length, *answer in scores[["run", "split", "length", *ACCURACY]].itertuples(index=False):
        found.setdefault((run, split), {})[length] = tuple(answer)
    firsts = rows.assign(scores=rows.groupby("run")["accuracy"].transform("count")).drop_duplicates("run")
    whole = firsts[firsts["recipe"].notna()]
    for line in lines(whole.drop(columns="stop")) if len(whole) else ():
        yield _group(f"{word(line.rows['task'].iloc[0])}: {line.label}", line.rows, found)
    broken = firsts[firsts["recipe"].isna()]
    if len(broken):
        yield _group("runs that cannot be read", broken, found)


def _group(label: str, firsts: pd.DataFrame, scores: _Scores) -> _Group:
    """firsts: a row of each run."""
    told = firsts.assign(reason=firsts.get("reason"))[["run", "seed", "status", "scores", "reason"]]
    found = [dict(zip(told, values, strict=True)) for values in told.itertuples(index=False)]
    lengths = [length for one in found for split in SPLITS for length in scores.get((one["run"], split), ())]
    longest = max(lengths, default=None)
    means: dict[str, list[float]] = {split: [] for split in SPLITS}
    for one in found:
        one["status"] = _how(one["status"])
        for split in SPLITS:
            score = scores.get((one["run"], split), {}).get(longest)
            one[split] = "-" if score is None else compare.accuracy(*score)
            means[split] += [score[0]] if score else []
    parts = [_runs(len(found))]
    parts += [f"{split} {np.mean(values):.3f}" for split, values in means.items() if values]
    parts += [f"at length {int(longest)}"] if lengths else []
    parts += [f"{count} {how}" for how, count in Counter(one["status"] for one in found).items() if how != "done"]
    return _Group(label, ", ".join(parts), found)


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def _how(status: Any) -> str:
    return {"DONE": "done", **STATUS}.get(word(status), word(status))


def _machines(fingerprints: Mapping[str, Mapping[str, Any]]) -> tuple[list[dict[str, str]], dict[str, int]]:
    """The distinct fingerprints, the commonest first, and run -> which of them is its own, counted from 1."""
    told = {run: tuple(sorted((str(k), str(v)) for k, v in one.items())) for run, one in fingerprints.items() if one}
    counts = Counter(told.values())
    places = {one: place for place, one in enumerate(sorted(counts, key=lambda one: (-counts[one], one)), start=1)}
    return [dict(one) for one in places], {run: places[one] for run, one in told.items()}


def _differing(machines: Sequence[Mapping[str, str]], of_run: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Each field in which fingerprints differ, with its values and how many runs have each."""
    for field in dict.fromkeys(field for one in machines for field in one):
        values = Counter(machines[place - 1].get(field, "not told") for place in of_run.values())
        if len(values) > 1:
            yield field, ", ".join(f"{value} ({_runs(count)})" for value, count in values.most_common())
