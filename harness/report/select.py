"""Which rows, what tells them apart, and whether they may stand together."""

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.nearest import unknown

ALWAYS = ("task", "attention", "scratchpad")  # named in every label and table, whether they vary or not
SETTINGS = (*ALWAYS, "trace", "objective", "weights", "position", "mask", "layers", "width", "heads", "loops")
SETTINGS += ("learning_rate", "dtype")
OF_A_RUN = (*SETTINGS, "run", "status", "recipe", "seed", "parameters")  # known before anything is evaluated
ARM = "arm"  # of a study, whose record tells it of every run
OVER = ("DONE", "DIVERGED")  # how a run ends that has nothing left to do
UNFINISHED = ("RUNNING", "PREEMPTED")  # what may yet come to any end
SPLITS = ("boundary", "broad")  # shown unless others are asked for
NOT_TRAINING = ("evaluate", "launcher")  # groups of settings that are no part of a recipe
OF_A_SCORE = ("split", "length", "in_range", "steps", "steps_trained", "stop", "bits_per_number", "forced_loops")
OF_A_SCORE += ("loops_used", "update")
ACCURACY = ("accuracy", "accuracy_low", "accuracy_high")  # of a score, and the ends of its interval
MEASURES = (*ACCURACY, "chance", "majority", "state_bytes", "prompt_flops")
MEASURES += ("decode_flops", "scored_pairs", "serial_steps", "scratch_tokens")
MEASURES += ("token_accuracy", "answer_tokens", "least_state_bits", "state_bits")
COPIES = {name: f"model.{name}" for name in ("layers", "width", "heads", "loops")}
COPIES |= {"trace": "scratchpad.trace", "learning_rate": "train.learning_rate", "position": "position.name"}
COPIES |= {"objective": "train.objective"}
STATUS = {"DIVERGED": "diverged", "FAILED": "failed", "OOM": "out of memory", "CORRUPT": "damaged"}
STATUS |= {"RUNNING": "unfinished", "PREEMPTED": "unfinished"}  # how a run without scores ended, in words
LAYERS = "attention.layers"  # of a hybrid
BASELINES = {"attention": ("softmax",), "scratchpad": ("none", "full")}


class Undrawable(ValueError):
    """Rows in which nothing is to be drawn yet, in a sentence."""


def word(value: Any) -> str:
    """How a setting reads: 2.0 is "2", True is "true", a missing one is empty.

    >>> word(2.0), word(0.001), word(float("nan")), word((4, 8))
    ('2', '0.001', '', '(4, 8)')
    """
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if str(value) in ("True", "False") else str(value)


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with every column that a reader needs; runs without scores know settings by their dotted names only."""
    needed = (*OF_A_RUN, *OF_A_SCORE, *MEASURES)
    rows = rows.reindex(columns=[*rows.columns, *(column for column in needed if column not in rows)])
    for column, copy in COPIES.items():
        if copy in rows:
            rows[column] = rows[column].astype(object).fillna(rows[copy]).infer_objects()
    rows["state_bits"] = pd.to_numeric(rows["state_bits"]).fillna(8 * pd.to_numeric(rows["state_bytes"]))
    return _told_by_kin(rows)


def _told_by_kin(rows: pd.DataFrame) -> pd.DataFrame:
    """What a run without scores does not know of itself (weights, stop), where all scores of its recipe agree on it."""
    silent = rows["accuracy"].isna() & rows["recipe"].notna()
    if not silent.any():
        return rows
    columns = [column for column in (*SETTINGS, "stop") if column in rows and rows.loc[silent, column].isna().any()]
    kin = rows[rows["accuracy"].notna() & rows["recipe"].isin(rows.loc[silent, "recipe"])]
    kin = kin.drop_duplicates(["recipe", *columns]).drop_duplicates("recipe", keep=False).set_index("recipe")
    for column in columns:
        blank = silent & rows[column].isna()
        rows[column] = rows[column].astype(object).where(~blank, rows["recipe"].map(kin[column])).infer_objects()
    return rows


def ended(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that have nothing left to do; one without scores for any other, of which a half says nothing."""
    over = rows["status"].isin(OVER)
    if over.all():
        return rows
    kept = rows[over | ~rows.duplicated(["run", *([ARM] if ARM in rows else [])])].copy()
    scores = [column for column in (*OF_A_SCORE, *MEASURES) if column in kept]
    kept[scores] = kept[scores].where(kept["status"].isin(OVER))
    return kept


def tasks(rows: pd.DataFrame) -> list[str]:
    """The tasks of these rows, sorted; a damaged run tells none."""
    return sorted(rows["task"].dropna().unique())


def order(column: str, text: str) -> tuple[float, str]:
    """A key that sorts the words of a column: the baselines first, then numbers as numbers, then words."""
    if text in BASELINES.get(column, ()):
        return -math.inf, str(BASELINES[column].index(text))
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def unforced(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of models that were stopped after no number of loops but their own; older rows know of no other."""
    return rows[rows["forced_loops"].isna()] if "forced_loops" in rows else rows


def unsqueezed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of models whose state was left as it was; older rows know of no other."""
    return rows[rows["bits_per_number"].isna()] if "bits_per_number" in rows else rows


def untouched(rows: pd.DataFrame, squeezed: bool = False, forced: bool = False) -> pd.DataFrame:
    """The rows of models as they are, neither rounded nor stopped; with `squeezed`, with `forced` those among them."""
    rows = rows if squeezed else unsqueezed(rows)
    return rows if forced else unforced(rows)


def scored(rows: pd.DataFrame, as_trained: bool = False, squeezed: bool = False, forced: bool = False) -> pd.DataFrame:
    """The rows that hold a score (`as_trained`: at the trained number of steps); ValueError if there are none.

    Only with `squeezed` those with a rounded state among them, with `forced` those after other loops.
    """
    rows = complete(rows)
    found = untouched(rows[rows["accuracy"].notna()], squeezed, forced)
    if found.empty:
        raise Undrawable(f"nothing to draw: none of these {rows['run'].nunique()} runs has scores yet")
    if as_trained:
        found = at_trained_steps(found, squeezed, forced)
        if found.empty:
            raise Undrawable("nothing to draw: none of these scores is at the number of steps that was trained")
    return found


def at_trained_steps(rows: pd.DataFrame, squeezed: bool = False, forced: bool = False) -> pd.DataFrame:
    """The scores at the trained number of steps; of a run that has none, those where the model stopped itself.

    Only with `squeezed` those with a rounded state among them, with `forced` those after other loops.
    """
    rows = untouched(rows, squeezed, forced)
    budget = rows[(rows["stop"] != "self") & (rows["steps"] == rows["steps_trained"])]
    asked = budget.loc[budget["split"] != "validation", "run"]
    return rows[rows.index.isin(budget.index) | ((rows["stop"] == "self") & ~rows["run"].isin(asked))]


def unfinished(rows: pd.DataFrame) -> pd.Series:
    """Which rows are of runs that may yet come to any end."""
    return rows["status"].isin(UNFINISHED)


def casualties(rows: pd.DataFrame) -> str:
    """The runs that did not end well: "2 of 13 runs diverged, 1 of 13 runs failed"; empty if all did."""
    ended = rows.groupby("run")["status"].first()
    counts = ended.map(STATUS).value_counts().reindex(dict.fromkeys(STATUS.values()), fill_value=0)
    return ", ".join(f"{count} of {len(ended)} runs {how}" for how, count in counts.items() if count)


def known(names: Iterable[str], columns: Collection[str]) -> None:
    """Raise ValueError for the first name that is no column, with the nearest one and all that there are."""
    for name in names:
        if name not in columns:
            raise unknown("column ", name, sorted(columns))


def select(rows: pd.DataFrame, where: list[str]) -> pd.DataFrame:
    """The rows that meet every condition ``column=value`` or ``column=a,b``; numbers are compared as numbers.

    A run without scores has no length, split or steps: conditions on such columns keep it, so that no failure is lost.
    So they keep, without scores, a run that failed before it had one that they ask for.
    Raises ValueError for a column that does not exist and for a value that no remaining row has.
    """
    rows = complete(rows)
    for condition in where:
        column, equals, text = (part.strip() for part in condition.partition("="))
        if not equals:
            raise ValueError(f"cannot read the condition '{condition}': write column=value or column=a,b")
        known([column], rows.columns)
        words = rows[column].map(word)
        early = of_a_run(column)
        present = set(words if early else words[rows["accuracy"].notna()])
        wanted = {_spelt(part.strip(), present) for part in ([text] if text in present else text.split(","))}
        for value in sorted(wanted - present):
            values = sorted(present, key=lambda text: order(column, text))
            more = [f"{len(values) - 20} more"] if len(values) > 20 else []
            raise unknown(f"among these rows {column}=", value, values, values[:20] + more)
        kept = words.isin(wanted) | (not early and rows["accuracy"].isna())
        lost = rows[~(early | rows["run"].isin(rows.loc[kept, "run"]) | rows["status"].isin(OVER))]
        rows = pd.concat([rows[kept], ended(lost)]).sort_index() if len(lost) else rows[kept]
    return rows


def of_a_run(condition: str) -> bool:
    """Whether a condition, or a column, is about what is known of a run before anything is evaluated."""
    column = condition.partition("=")[0].strip()
    return column in (*OF_A_RUN, ARM) or "." in column


def varying(rows: pd.DataFrame) -> list[str]:
    """The setting columns that differ between recipes, and so must appear in a label.

    A copy (`layers` beside `model.layers`) is listed once. Settings of a choice (`task.alpha`) are compared where that
    choice is the same. Should two recipes agree in every column, `recipe` itself is listed last.
    """
    whole = rows[rows["recipe"].notna()] if rows["recipe"].notna().any() else rows  # a damaged run may say nothing
    groups = [column for column in rows.columns if "." in column and column.split(".")[0] not in NOT_TRAINING]
    candidates = [c for c in (*SETTINGS, *groups) if c in rows and not c.endswith(".seed")]
    identity = _identity(rows)
    needed = list(dict.fromkeys([*identity, *candidates]))
    one = whole[needed].groupby(identity, dropna=False, as_index=False).first()
    words = one[candidates].map(word)
    found: list[str] = []
    for column in candidates:
        parents = [parent for parent in _parents(column) if parent in words]
        told = words[words[column] != ""] if column in SETTINGS else words  # a run without scores may not tell
        counts = told.groupby(parents)[column].nunique() if parents else told[[column]].nunique()
        name = column.split(".")[-1]
        copies = (other for other in found if other.split(".")[-1] == name)
        if counts.max() > 1 and not any(words[other].equals(words[column]) for other in copies):
            found.append(column)
    if words[[*(c for c in ALWAYS if c in words), *found]].duplicated().any():
        found.append("recipe")
    if "stop" in rows and rows["stop"].nunique() > 1:  # of an evaluation, not of a recipe, yet never averaged over
        found.append("stop")
    return found


@dataclass(frozen=True)
class Line:
    """The rows of one recipe, and what tells it from the others: variant · scratchpad · whatever else varies."""

    variant: str
    scratchpad: str  # "full", or "full running_extremes" where traces vary
    rest: str
    rows: pd.DataFrame

    @property
    def label(self) -> str:
        """How the legend calls it."""
        return " · ".join(part for part in (self.variant, self.scratchpad, self.rest) if part)


def lines(rows: pd.DataFrame, hide: Collection[str] = ()) -> list[Line]:
    """A line for each recipe (and code version, and stop), sorted; `hide` names columns that an axis already shows."""
    shown = [c for c in varying(rows) if c not in ("attention", "scratchpad", *hide)]
    shown, mixed = _layers(rows, shown)
    found = []
    for _, group in rows.groupby([*_identity(rows), *(["stop"] if "stop" in rows else [])], dropna=False):
        words = {column: word(group[column].iloc[0]) for column in ("attention", "scratchpad", *shown)}
        pad, rest = [words["scratchpad"]], [words["task"]] if "task" in words else []
        for column in (c for c in shown if words[c] and c != "task"):
            if column == "trace":
                pad += [words["trace"]] if pad[0] != "none" else []
            elif column.startswith("scratchpad."):
                pad.append(f"{column.removeprefix('scratchpad.')}={words[column]}")
            else:
                rest.append(f"{column}={words[column]}")
        if "stop" not in shown and "stop" in group and (group["stop"] == "self").all():
            rest.append("stop=self")
        place = [order(column, words[column]) for column in words]
        variant = mixed.get(word(group[LAYERS].iloc[0]), words["attention"]) if mixed else words["attention"]
        found.append((place, Line(variant, " ".join(pad), " ".join(rest), group)))
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]


def _layers(rows: pd.DataFrame, shown: list[str]) -> tuple[list[str], dict[str, str]]:
    """Hybrids whose layers differ are called by the variants in them, unless only their settings tell them apart.

    What is left to show, and layers with all their settings -> layers in short.
    """
    if LAYERS not in shown:
        return shown, {}
    whole = [layers for layers in dict.fromkeys(rows[LAYERS].map(word)) if layers]
    short = [re.sub(r"\([^)]*\)", "", layers) for layers in whole]
    if len(set(short)) < len(whole):
        return shown, {}
    return [column for column in shown if column != LAYERS], dict(zip(whole, short, strict=True))


def check_versions(rows: pd.DataFrame) -> None:
    """Raise ValueError if the rows mix code versions of one task, of one variant or of the training loop."""
    for column, of in (("version.task", "task"), ("version.attention", "attention"), ("version.loop", None)):
        if column not in rows:
            continue
        for name, group in rows.groupby(of) if of else [("the training loop", rows)]:
            versions = sorted(group[column].dropna().unique())
            if len(versions) > 1:
                several = " and ".join(map(word, versions))
                raise ValueError(
                    f"these rows mix {column} {several} of {name}, which are different experiments: "
                    f"choose one with {column}={word(versions[-1])}, or allow mixed versions"
                )


def _identity(rows: pd.DataFrame) -> list[str]:
    return ["recipe", *(c for c in rows.columns if c.startswith("version."))]


def _parents(column: str) -> list[str]:
    """The choices that a column belongs to: `task.alpha` means something only among rows of the same task."""
    if column == "trace" or column.startswith("scratchpad."):
        return ["task", "scratchpad"]
    head, _, tail = column.partition(".")
    head = tail if head == "version" else head
    return [head] if tail and head in SETTINGS else []


def _spelt(text: str, present: Collection[str]) -> str:
    """`text`, or if nothing is called so: as `word` spells numbers and truth."""
    if text in present:
        return text
    try:
        return word(float(text))
    except ValueError:
        return text.lower() if text in ("True", "False") else text
