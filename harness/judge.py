"""From results folders to verdicts and figures: each study's evidence is read, its claims are judged, it is drawn."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness import store
from harness.nearest import printable
from harness.report import figures, findings, scaling
from harness.report.cells import of_split
from harness.report.claims import Claim, Verdict, judge
from harness.report.evidence import Evidence, Items
from harness.report.page import Picture
from harness.report.select import Undrawable, word
from harness.report.style import alternative, render
from harness.store import Json
from harness.study import SIZES, Study, names

# One line a recipe: of several learning rates the chosen one, others would be panels and lines of their own.
TUNED = ("frontier", "phase_map", "published", "required_resource", "steps_map")


def claims() -> list[Claim]:
    """Every claim of every study, by number. Raises ValueError for one that cannot be read or stands twice."""
    found: dict[str, Claim] = {}
    for name in names():
        for claim, said in Study.load(name).claims.items():
            if claim in found:
                raise ValueError(f"claim {claim} is in the studies {found[claim].study} and {name}: one decides it")
            found[claim] = Claim.of(claim, name, said)
    return sorted(found.values(), key=lambda claim: _number(claim.name))


def evidence(roots: Sequence[Path]) -> dict[str, Evidence]:
    """study -> what was found of it, in the largest size that was run; if that is damaged, the file that is."""
    found: dict[str, Evidence] = {}
    folders, read = store.folders(roots), {}
    there = {path: path.stem.rpartition("-")[::2] for path in store.studies(roots)}
    known = [path for path, (study, size) in there.items() if study in names() and size in SIZES]
    for path in sorted(known, key=lambda path: SIZES.index(there[path][1])):
        study, size = there[path]
        try:
            found[study] = _evidence(path, folders, read, items(roots))
        except OSError as error:
            found[study] = Evidence(study, size, pd.DataFrame(), damaged=printable(error))
    return found


def verdicts(there: Mapping[str, Evidence]) -> list[Verdict]:
    """One for each claim."""
    return [judge(claim, there.get(claim.study)) for claim in claims()]


def pictures(found: Evidence) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each figure of a study. One for which there are no rows yet is left out."""
    yield from _drawable((name, partial(_drawn, found, said)) for name, said in _named(found).items())


def picture_names(found: Evidence) -> list[str]:
    """What the figures of a study are called."""
    return list(_named(found))


def study_pictures(there: Mapping[str, Evidence]) -> Iterator[Picture]:
    """The figures of every study, as a page shows them."""
    for study, found in there.items():
        said = _named(found)
        for name, figure in pictures(found):
            yield Picture(name, said[name]["caption"], render(figure, "svg").decode(), alternative(figure), study)


def task_pictures(rows: pd.DataFrame, allow_mixed: bool = False) -> Iterator[Picture]:
    """The four figures that ``plot`` draws of each task, of these rows; a task without scores has none."""
    for task, of_task in rows.groupby("task"):
        draws = ((name, partial(getattr(figures, name), of_task, allow_mixed=allow_mixed)) for name in figures.AGAINST)
        for name, figure in _drawable(draws):
            title = f"{task}: {name.replace('_', ' ')}"
            yield Picture(f"{task}-{name}", title, render(figure, "svg").decode(), alternative(figure), "")


def _drawable(draws: Iterable[tuple[str, Callable[[], Figure]]]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of each for which there is something to draw."""
    for name, draw in draws:
        try:
            figure = draw()
        except Undrawable:
            continue
        yield name, figure


def records(roots: Sequence[Path], rows: pd.DataFrame, there: Mapping[str, Evidence]) -> dict[str, dict]:
    """``configs`` (run -> its yaml), ``fingerprints`` (run -> mapping) and what is said ``about`` the page.

    A damaged run has neither; what is wrong with it stands in its row.
    """
    folders = store.folders(roots)
    whole = [run for run in rows.loc[rows["status"] != "CORRUPT", "run"].unique() if run in folders]
    configs = {run: store.settings_text(folders[run]) for run in whole}
    fingerprints = {run: store.load_record(folders[run]).get("fingerprint", {}) for run in whole}
    again = [
        " ".join([f"python -m harness study={found.study} study.size={found.size}", *found.words])
        for found in there.values()
    ]
    about = {
        "command": "python -m harness report",
        "version": metadata.version("transformer-complexity-harness"),
        "studies": again,
    }
    return {"configs": configs, "fingerprints": fingerprints, "about": about}


def shown(there: Mapping[str, Evidence], root: Path, page: Path) -> dict[str, list[findings.Shown]]:
    """study -> the figures that lie in a results folder, with their paths as seen from the folder of a page."""
    here = Path(os.path.relpath(root / "figures", page))
    return {
        study: [
            findings.Shown((here / f"{name}.svg").as_posix(), said["caption"])
            for name, said in _named(found).items()
            if (root / "figures" / f"{name}.svg").exists()
        ]
        for study, found in there.items()
    }


def _named(found: Evidence) -> dict[str, Json]:
    """name -> what a study's yaml says of the figure."""
    said = Study.load(found.study).figures
    start = found.study.replace("_", "-")
    return {f"{start}-{number}-{one['draw'].replace('_', '-')}": one for number, one in enumerate(said, start=1)}


def _drawn(found: Evidence, said: Json) -> Figure:
    """A figure of a study. Raises Undrawable if there are no rows for it yet."""
    draw, where = said["draw"], said.get("where", ())
    settings = {key: value for key, value in said.items() if key not in ("draw", "where", "table", "caption")}
    if "table" in said:
        rows = found.table(said["table"], where)
        if rows.empty:
            raise Undrawable(f"nothing to draw: {said['table']} was not measured yet")
        return getattr(figures, draw)(rows, **settings)
    rows = found.chosen(where, tune=draw in TUNED)
    if not rows["accuracy"].notna().any():
        raise Undrawable("nothing to draw: none of these runs has scores yet")
    if draw == "learning_curves":
        rows = found.curves(list(rows["run"].unique()))
    if draw == "required_resource":
        return _required(rows, **settings)
    if draw == "published":
        settings["reference"] = pd.DataFrame(settings["reference"]).reindex(columns=figures.REFERENCE)
    return getattr(figures, draw)(rows, **settings)


def _required(rows: pd.DataFrame, resource: str, each: Sequence[str] = ("attention",), law: str = "power") -> Figure:
    """r*(n) of each group with its law, over what a claim is judged by."""
    groups = {}
    rows = of_split(rows, "boundary", squeezed=resource == "state bits")
    for values, part in rows.groupby(list(each), dropna=False):
        points = scaling.required(part, resource)
        groups[" ".join(map(word, values))] = (points, scaling.fit(points, law))
    return figures.required_resource(groups, resource=resource)


def _evidence(path: Path, folders: dict[str, Path], read: dict[str, pd.DataFrame], of_row: Items) -> Evidence:
    """What the study of a record left. Raises Corrupt, naming the file, if that or a table cannot be read."""
    record, parts = store.load_study(path), []
    for arm, runs in record["arms"].items():
        for run in (run for run in runs if run in folders):
            if run not in read:
                read[run] = store.read_folders([folders[run]])
            parts.append(read[run].assign(arm=arm))
    rows = (
        pd.concat([part for part in parts if len(part)], ignore_index=True) if any(map(len, parts)) else pd.DataFrame()
    )
    tables = {}
    for name in record.get("theory", {}):
        tables[name] = pd.DataFrame(store.load_table(path.parent.parent, record, name) or [])

    def curves(runs: Sequence[str]) -> pd.DataFrame:
        return store.read_curves(folders[run] for run in runs if run in folders)

    return Evidence(record["study"], record["size"], rows, tables, of_row, curves, tuple(record.get("words", ())))


def items(roots: Sequence[Path]) -> Items:
    """Row -> which of its test items are right, None where they are not kept; a run's are read once."""
    folders = store.folders(roots)
    kept: dict[str, dict[str, np.ndarray]] = {}

    def of_row(row: pd.Series) -> np.ndarray | None:
        run = row["run"]
        if run not in kept:
            kept[run] = store.load_scores(folders[run])[1] if run in folders else {}
        return kept[run].get(store.item_key(row.to_dict()))

    return of_row


def _number(name: str) -> tuple[int, str]:
    digits = "".join(letter for letter in name if letter.isdigit())
    return int(digits or 0), name
