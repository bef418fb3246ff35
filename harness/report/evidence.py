"""What a study left, and the rows of it that a statistic looks at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from harness.report.select import NOT_TRAINING, complete, ended, of_a_run, select, unfinished, word

Items = Callable[[pd.Series], np.ndarray | None]  # a row -> which of its test items are right, None if not kept
Curves = Callable[[Sequence[str]], pd.DataFrame]  # runs -> their training, a row for each logged update
ONE_ROW = ("run", "split", "length", "steps", "stop", "bits_per_number", "forced_loops")
RATE = "train.learning_rate"
REACH = "attention.k"  # keys that a token reaches, where a map fixes them
BEYOND_A_CELL = (RATE, "seed")  # what differs between runs that are one cell of a study


@dataclass(frozen=True)
class Evidence:
    """The rows of one study in one size, each with its ``arm``, and the tables measured without training."""

    study: str
    size: str
    rows: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    items: Items = lambda row: None
    curves: Curves = lambda runs: pd.DataFrame()
    words: Sequence[str] = ()  # of the command line behind study and size
    damaged: str = ""  # which file cannot be read, and why, if all the rest is therefore empty

    def chosen(self, where: Sequence[str] = (), tune: bool = False) -> pd.DataFrame:
        """The rows under these conditions, a run that two arms share once; empty if one holds for none.

        A run that has not come to its end has one row, without scores. With ``tune`` those at the chosen rates alone,
        chosen on all of validation before any condition on scores. Raises ValueError for a column that does not exist,
        though every run can be read.
        """
        if self.rows.empty:
            return complete(self.rows)
        late = [condition for condition in where if not of_a_run(condition)]
        try:
            rows = select(ended(self.rows), [condition for condition in where if condition not in late])
            rows = tuned(rows) if tune else rows
            rows = select(rows, late) if late else rows
        except ValueError as error:
            if str(error).startswith("column ") and not (self.rows["status"] == "CORRUPT").any():
                raise
            return complete(self.rows.iloc[:0])
        rows = rows.drop_duplicates([column for column in ONE_ROW if column in rows])
        if REACH in rows:
            rows = rows.assign(keys_reached=(rows["length"] + rows["scratch_tokens"]) * rows[REACH])
        return rows

    def table(self, name: str, where: Sequence[str] = ()) -> pd.DataFrame:
        """The rows of a table under these conditions, ``column=a,b``; empty if there is no such table."""
        table = self.tables.get(name, pd.DataFrame())
        for condition in where if len(table) else ():
            column, _, values = condition.partition("=")
            if column not in table:
                raise ValueError(f"column {column} does not exist in {name}: there are {', '.join(table.columns)}")
            table = table[table[column].map(word).isin(values.split(","))]
        return table


def tuned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows at the learning rate of each cell that did best on validation, which no test item decides.

    Best is the mean over seeds of the accuracy at the worst validation length; a run without scores counts as 0. Cells
    are runs that differ in seed and learning rate alone. A run that tells no rate, as a damaged one, and one that is
    not finished stay and choose nothing. Column ``edge`` names the variant and the scratchpad of a cell whose best rate
    is the largest or the smallest of several, and is empty elsewhere.
    """
    if rows.empty or RATE not in rows:
        return rows.assign(edge="")
    told = rows[RATE].notna() & ~unfinished(rows)
    rated = rows[told]
    if rated.empty:
        return rows.assign(edge="")
    runs = rated.drop_duplicates("run").set_index("run")
    validation = rated[rated["split"] == "validation"].groupby("run")["accuracy"].min()
    settings = [c for c in rows.columns if "." in c and c not in BEYOND_A_CELL and c.split(".")[0] not in NOT_TRAINING]
    plain = [column for column in ("task", "attention", "mask", "dtype") if column in runs]
    cells = runs[[*plain, *settings]].map(word).agg("|".join, axis=1)
    table = pd.DataFrame({"cell": cells, "rate": runs[RATE], "validation": validation.reindex(runs.index).fillna(0.0)})
    means = table.groupby(["cell", "rate"])["validation"].mean()
    best = means.groupby("cell").idxmax().map(lambda pair: pair[1])
    tried = table.groupby("cell")["rate"].agg(["nunique", "min", "max"])
    edge = tried.index[(tried["nunique"] > 1) & ((best == tried["min"]) | (best == tried["max"]))]
    names = runs[["attention", "scratchpad"]].map(word).agg(" ".join, axis=1).where(table["cell"].isin(edge), "")
    kept = table.index[table["rate"] == table["cell"].map(best)]
    chosen = rows[rows["run"].isin(kept) | ~told]
    return chosen.assign(edge=chosen["run"].map(names).fillna(""))
