"""The end of a run, in a table and two sentences: what was seen, and what theory says."""

from math import log2

import pandas as pd

from harness.catalogue import aligned
from harness.report.select import at_trained_steps, unsqueezed, word
from tasks.base import Task


def table(rows: pd.DataFrame) -> str:
    """One run's accuracy with its Wilson interval, lengths down and splits across; chance and majority beside them.

    Where a scratchpad was stopped by force, or the model stopped itself, that is a line of its own.
    """
    data = unsqueezed(rows[rows["accuracy"].notna() & (rows["split"] != "validation")])
    data = data.reindex(columns=list(dict.fromkeys([*data.columns, "forced_loops"])))  # older runs lack it
    parts = (data[name] for name in ("stop", "steps", "steps_trained", "forced_loops"))
    data = data.assign(stopped=list(map(_stopped, *parts)))
    splits = list(dict.fromkeys(data["split"]))
    lines = [["length", *splits, "chance", "majority (natural)"]]
    for (length, stopped), group in data.sort_values(["length", "stop", "steps"]).groupby(
        ["length", "stopped"], sort=False
    ):
        cells = group.set_index("split")
        beyond = "" if cells["in_range"].iloc[0] else " beyond the trained range"
        natural = cells.loc["natural", "majority"] if "natural" in cells.index else float("nan")
        lines.append(
            [
                f"{length}{stopped}",
                *(_interval(cells.loc[split]) if split in cells.index else "-" for split in splits),
                f"{cells['chance'].iloc[0]:.3f}",
                (f"{natural:.3f}" if natural == natural else "-") + beyond,
            ]
        )
    return aligned(lines)


def _stopped(stop: str, steps: float, trained: float, loops: float | None) -> str:
    forced = "" if steps == trained else f", stopped at {steps:g}"
    told = f", after {word(loops)} loops" if word(loops) else ""
    return (", ends its scratchpad itself" if stop == "self" else forced) + told


def _interval(score: pd.Series) -> str:
    return f"{score['accuracy']:.3f} [{score['accuracy_low']:.3f}, {score['accuracy_high']:.3f}]"


def seen(rows: pd.DataFrame) -> str:
    """What was seen in one run, in a sentence; for a run without scores how it ended."""
    first = rows.iloc[0]
    trace = f" ({first['trace']})" if word(first.get("trace")) else ""
    who = f"{first['attention']} attention with scratchpad {first['scratchpad']}{trace}, seed {first['seed']}"
    if first["status"] != "DONE":
        return f"Seen: {who}, has status {first['status']}: {word(first['reason']) or 'it did not come to its end'}."
    balanced = rows["split"].isin(("boundary", "broad"))
    data = at_trained_steps(rows[balanced] if balanced.any() else rows[rows["split"] == "natural"])
    within, beyond = data[data["in_range"].astype(bool)], data[~data["in_range"].astype(bool)]
    parts = [f"within the trained lengths, {_worst(within)}"] if len(within) else []
    parts += [f"beyond the trained lengths, {_worst(beyond)}"] if len(beyond) else []
    items = int(first["examples"])
    how = f"({items:,} items each, free-running)"
    return f"Seen: {who}, after {int(first['update'])} updates: {'; '.join(parts)} {how}."


def loss(rows: pd.DataFrame) -> str:
    """How near the loss of one run came to the entropy of what it was trained on, where that is known; else empty."""
    first = rows.iloc[0]
    if not word(first.get("loss_floor")):
        return ""
    several = len(first["train.lengths"]) > 1
    kind = "a floor, as if the length were told" if several else "the floor"
    reached = f"{first['loss']:.4f} nats per supervised token over the last tenth of the training"
    return f"Loss: {reached}; the entropy of the problems makes {first['loss_floor']:.4f} {kind}."


def _worst(scores: pd.DataFrame) -> str:
    low = scores.loc[scores.groupby("split")["accuracy"].idxmin()]
    worst = [f"{row.accuracy:.3f}{_tokens(row)} on {row.split} (length {row.length})" for row in low.itertuples()]
    return "at worst " + " and ".join(worst)


def _tokens(row: tuple) -> str:
    """Where an answer has several tokens, how many of these are right."""
    return f" ({row.token_accuracy:.3f} of the single tokens)" if row.token_accuracy != row.accuracy else ""


def theory(task_name: str, task: Task, rows: pd.DataFrame) -> str:
    """What theory says of this task, in a sentence, beside the state that the run carried."""
    time, steps, classes = task.theory.time, task.theory.steps, task.classes()
    model = f"for {steps.condition}" if steps.condition else steps.source
    known = f"time {time.bound} ({time.source}), {steps.bound} reasoning steps ({model})"
    if classes is not None:
        bits = f"{log2(classes):.2f} bits of state are necessary and enough"
        count = classes if classes < 10**9 else f"about 2^{log2(classes):.0f}"
        known += f", and one pass has {count} residual classes: {bits}"
    scored = rows[rows["accuracy"].notna() & (rows["split"] != "validation")] if "accuracy" in rows else rows[:0]
    if scored.empty:
        return f"Theory: {task_name} takes {known}."
    trained = at_trained_steps(scored)
    largest = scored.loc[(trained if len(trained) else scored)["length"].idxmax()]
    carried = f"this model carries {8 * int(largest['state_bytes']):,} bits at length {largest['length']}"
    return f"Theory: {task_name} takes {known}; {carried}."
