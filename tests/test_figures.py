"""Every figure: both widths, all formats, the same bytes for shuffled rows, all words inside and none over another."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from tests.test_report import rows, runs

from harness.report import figures, scaling, select, style

LENGTHS = (4, 8, 16, 32, 64, 128)
FORMATS = ("png", "svg", "pdf")


def failed():
    return runs("gru", seeds=2, settings={"model.width": 48}, status="DIVERGED")


def compared():
    """Two variants with and without steps, three seeds of each, and two runs that diverged."""
    return rows(*(runs(a, s, 3) for a in ("softmax", "linear") for s in ("none", "full")), failed())


def budgets():
    """Recipes that differ in the budget of steps, each stopped early and late too."""
    scales = [runs(a, "full", 2, {"scratchpad.scale": s}) for a in ("softmax", "linear") for s in (0.25, 0.5)]
    forced = [runs(a, "full", 2, forced=True) for a in ("softmax", "linear")]
    return rows(*scales, *forced, runs("linear", "none", 2), failed())


def squeezed():
    """Recurrences that decide until fewer than 16 bits are left; softmax, and what carries nothing, as they are."""
    whole = rows(*(runs(name, seeds=3) for name in ("linear", "gru")))
    whole["accuracy"] = 0.95 + 0.01 * whole["seed"]
    whole["state_bytes"] = np.where(whole["attention"] == "gru", 64, 256)
    parts = [whole]
    for bits in (1, 2, 3, 4, 6, 8, 16):
        left = bits * whole["state_bytes"] / 4
        share = 1 / (1 + (16 / left) ** 3)
        parts.append(
            whole.assign(bits_per_number=bits, state_bits=left, accuracy=0.5 + share * (whole["accuracy"] - 0.5))
        )
    return pd.concat([*parts, rows(runs("softmax", seeds=1), runs("linformer", seeds=1), failed())], ignore_index=True)


def priced():
    """Widths that cost the square of themselves and are right up to a length that grows with them."""
    kinds = [("softmax", "none"), ("softmax", "full"), ("linear", "none"), ("linear", "full"), ("window", "none")]
    found = rows(*(runs(a, s, 3, {"model.width": w}) for a, s in kinds for w in (16, 32, 64, 128)), failed())
    reach = found["width"] * np.where(found["scratchpad"] == "full", 2, 1) / (1 + 3 * (found["attention"] == "linear"))
    right = (found["length"] <= reach) & (found["attention"] != "window")
    found["accuracy"] = np.where(found["accuracy"].isna(), np.nan, np.where(right, 0.97, 0.8) + 0.005 * found["seed"])
    return found.assign(**{cost: found[cost] * (found["width"] / 32) ** 2 for cost in ("prompt_flops", "decode_flops")})


def dimensions():
    """Problems of d dimensions (alpha = d): a recurrence solves them up to d = 4, softmax until a seed fails."""
    one = [runs(a, "none", 3, {"task.dim": d, "task.alpha": d}) for a in ("softmax", "linear") for d in range(2, 8)]
    found = rows(*one, runs("linear", "none", 2, {"task.dim": 9, "task.alpha": 9}, status="FAILED"))
    limit = np.where(found["attention"] == "linear", 128 / 2.0 ** found["task.dim"] * (1 + found["seed"]), 200)
    right = (found["length"] <= limit) & ~((found["task.dim"] == 7) & (found["seed"] == 2))
    found["accuracy"] = np.where(found["accuracy"].isna(), np.nan, np.where(right, 0.99, 0.6))
    return found[~((found["length"] == 128) & (found["task.dim"] > 5))]


def rates():
    """Five learning rates: softmax is best at the middle one, linear attention at the largest; one rate diverges."""
    grid = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    found = rows(
        *(runs(a, "none", 5, {"train.learning_rate": r}) for a in ("softmax", "linear") for r in grid if a != "softmax" or r < 0.02),
        runs("softmax", "none", 5, {"train.learning_rate": 3e-2}, status="DIVERGED"),
    )  # fmt: skip
    found["learning_rate"] = found["train.learning_rate"]
    best = np.where(found["attention"] == "softmax", 1e-3, 3e-2)
    off = np.abs(np.log10(found["train.learning_rate"] / best))
    found["accuracy"] = np.where(
        found["accuracy"].isna(), np.nan, np.clip(1.02 - 0.08 * off * (1 + found["seed"]), 0, 1)
    )
    checked = found[(found["split"] == "broad") & (found["length"] == 32)].assign(split="validation")
    return pd.concat([found, checked], ignore_index=True)


def curves():
    """Losses that fall as a power of the updates with noise, one run that leaves for good at update 600."""
    found = []
    for attention, scratchpad in (("softmax", "none"), ("softmax", "full"), ("linear", "none")):
        for seed in range(3):
            dies = (attention, seed) == ("linear", 2)
            draw = np.random.default_rng([len(attention), len(scratchpad), seed])
            for update in range(10, 601 if dies else 2001, 10):
                loss = 3 * update**-0.6 * np.exp(draw.normal(0, 0.15)) + (0.002 if scratchpad == "full" else 0.05)
                loss *= np.exp(max(0, update - 400) / 60) if dies else 1
                found.append({
                    "run": f"{attention}-{scratchpad}-{seed}", "recipe": f"{attention}-{scratchpad}", "task": "pairwise",
                    "attention": attention, "scratchpad": scratchpad, "seed": seed, "update": update,
                    "status": "DIVERGED" if dies else "DONE", "loss": np.nan if dies and update == 600 else loss,
                    "validation": 1 - 0.5 * np.exp(-update / (300 + 150 * (seed + len(attention)))) if update % 100 == 0 else np.nan, "chance": 0.5,
                })  # fmt: skip
    return pd.DataFrame(found)


def points(slope, seeds=3, limits=()):
    """r*(n) = 4 n^slope on a grid of factor two, as `scaling.required` gives it; limits: length -> which."""
    lengths = np.array([8, 16, 32, 64, 128, 256, 512])
    middle = np.log(4.0) + slope * np.log(lengths) + np.random.default_rng(7).normal(0, 0.1, len(lengths))
    step = np.log(2) / 2
    found = pd.DataFrame({"estimate": middle, "low": middle - step, "high": middle + step}, index=lengths)
    found = found.rename_axis("length").assign(hidden=2 * step / np.sqrt(12), censored="", seeds=seeds, solved=seeds)
    for length, side in dict(limits).items():
        found.loc[length, ["censored", "low" if side == "left" else "high"]] = (
            side,
            (-np.inf if side == "left" else np.inf),
        )
    return found


def resources():
    first, second, third = points(1.0, limits={512: "right"}), points(0.0, limits={8: "left"}), points(0.5).head(3)
    return {
        "softmax": (first, scaling.fit(first)),
        "gru": (second, scaling.fit(second)),
        "linear": (third, scaling.fit(third)),
    }


def reference():
    """What others say of two variants at four lengths; one variant that nobody ran."""
    found = [("softmax", n, 0.99 - n / 900, 0.02) for n in (8, 16, 32, 64)]
    found += [("linear", n, 0.97 - n / 150, np.nan) for n in (8, 16, 32, 64)] + [("mamba", 8, 0.9, np.nan)]
    table = pd.DataFrame(found, columns=["label", "x", "published", "half"])
    table = table.assign(low=table["published"] - table["half"], high=table["published"] + table["half"])
    return table.assign(source="Doe et al. 2024, table 2").drop(columns="half")


def measured():
    return rows(runs("softmax", seeds=3), runs("linear", seeds=5), failed())


def ranks():
    grid = [(b, n, d) for b in (0.5, 1.5, 4.0) for n in (64, 128, 256, 512) for d in range(3)]
    found = pd.DataFrame(grid, columns=["bound", "length", "draw"])
    return found.assign(map="softmax", rank=found["length"] ** (found["bound"] / 5) + found["draw"])


SPECIMENS = {  # name -> (rows, how they are drawn in columns)
    "accuracy_against_length": (compared, figures.accuracy_against_length),
    "accuracy_against_steps": (budgets, figures.accuracy_against_steps),
    "accuracy_against_state": (squeezed, figures.accuracy_against_state),
    "cost_against_length": (compared, figures.cost_against_length),
    "frontier": (priced, figures.frontier),
    "phase_map": (dimensions, figures.phase_map),
    "steps_map": (budgets, figures.steps_map),
    "success_over_rate": (rates, figures.success_over_rate),
    "learning_curves": (curves, figures.learning_curves),
    "published": (measured, lambda rows, columns: figures.published(rows, reference(), columns=columns)),
    "table_against_length": (
        ranks,
        lambda rows, columns: figures.table_against_length(rows, "rank", "bound", "ε-rank", columns=columns),
    ),
}  # fmt: skip
