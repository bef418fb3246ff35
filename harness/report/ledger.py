"""The verdicts as a table, as Markdown, and one of them explained."""

import textwrap
from collections.abc import Sequence

import pandas as pd

from harness.catalogue import aligned
from harness.report.claims import Verdict

HEAD = ["claim", "source", "verdict", "number", "study", "size", "runs"]


def table(verdicts: Sequence[Verdict], width: int = 120) -> str:
    """For a terminal: a line for each claim, its sentence and the reason below it."""
    lines = [HEAD, *(_cells(verdict) for verdict in verdicts)]
    head, *rows = aligned(lines).splitlines()
    blocks = [head]
    for row, verdict in zip(rows, verdicts, strict=True):
        said = [verdict.claim.sentence, f"-> {_because(verdict)}"]
        blocks += [row, *(line for text in said for line in textwrap.wrap(text, width, **_indented(6)))]
    counts = pd.Series([verdict.word for verdict in verdicts]).value_counts()
    return "\n".join([*blocks, "", ", ".join(f"{count} {word}" for word, count in counts.items())])


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The same as a page: ``claims.md``."""
    head = [*HEAD[:1], "sentence", *HEAD[1:4], "because", *HEAD[4:]]
    lines = [head, ["---"] * len(head)]
    for verdict in verdicts:
        name, source, word, number, study, size, runs = _cells(verdict)
        lines.append(
            [name, verdict.claim.sentence, source, f"**{word}**", number, _because(verdict), study, size, runs]
        )
    grid = "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
    rule = "A number stands with its 95 % interval; what decides a claim is written beside its study in `conf/study/`."
    return f"# Claims\n\n{rule}\n\n{grid}"


def explained(verdict: Verdict, rows: str, pictures: Sequence[str]) -> str:
    """One verdict: what would decide it, its cells, the table of its rows, its figures, the runs that decided it."""
    claim = verdict.claim
    lines = [
        f"{claim.name}: {claim.sentence}",
        f"source: {claim.source}",
        f"verdict: {verdict.word}, {_because(verdict)}",
    ]
    lines += [f"ladder: {verdict.ladder}"] if verdict.ladder else []
    if not claim.missing:
        lines.append(f"statistic: {claim.measured}")
        lines.append(
            f"supported if {claim.supported_if}, refuted if {claim.refuted_if}, over {claim.over} of its cells"
        )
    for control in claim.controls:
        guards = " and ".join(control.guards)
        lines.append(f"control: {control.name}, {control.holds_if}; else {guards} cannot be said: {control.otherwise}")
    for label, text in (
        ("note", claim.note),
        ("corrected", claim.corrected),
        ("what would change our mind", claim.mind),
    ):
        lines += [f"{label}: {text}"] if text else []
    if verdict.cells:
        head = ["cell", "value [95 %]", "over", "runs", "cannot decide because"]
        lines += ["", aligned([head, *(cell.told for cell in verdict.cells)])]
    lines += ["", rows] if rows else []
    lines += ["", *pictures] if pictures else []
    lines += ["", "deciding runs:", *(f"  {run}" for run in verdict.runs)] if verdict.runs else []
    return "\n".join(lines)


def _cells(verdict: Verdict) -> list[str]:
    claim = verdict.claim
    runs = str(len(verdict.runs)) if verdict.runs else "-"
    return [claim.name, claim.source, verdict.word, verdict.number, claim.study, verdict.size or "-", runs]


def _because(verdict: Verdict) -> str:
    return f"{verdict.reason} ({verdict.ladder})" if verdict.ladder else verdict.reason


def _indented(by: int) -> dict[str, str]:
    return {"initial_indent": " " * by, "subsequent_indent": " " * (by + 3)}
