"""Figures as pure functions of rows: a DataFrame goes in, a matplotlib figure comes out, nothing is written.

One line is one recipe. Hue and marker say the variant, dashes the scratchpad, lightness whatever else varies.
Every score is exact (all answer tokens right) and free-running (the model reads its own scratchpad).
A figure spans ``columns`` of a page, 1 (3.35 in) or 2 (7 in); the same rows, in any order, give the same bytes.
"""

from harness.report.figures.accuracy import accuracy_against_length, accuracy_against_steps
from harness.report.figures.cost import cost_against_length, frontier
from harness.report.figures.growth import required_resource, table_against_length
from harness.report.figures.loops import accuracy_against_loops, loops_used
from harness.report.figures.maps import phase_map, steps_map
from harness.report.figures.published import REFERENCE, published
from harness.report.figures.state import accuracy_against_state
from harness.report.figures.training import learning_curves, success_over_rate
from harness.report.style import alternative, render

AGAINST = ("accuracy_against_length", "accuracy_against_steps", "accuracy_against_state", "cost_against_length")
STUDY = (  # what a study may name
    *AGAINST, "accuracy_against_loops", "frontier", "learning_curves", "loops_used", "phase_map", "published",
    "required_resource", "steps_map", "success_over_rate", "table_against_length"
)  # fmt: skip
__all__ = [
    "AGAINST",
    "REFERENCE",
    "STUDY",
    "accuracy_against_length",
    "accuracy_against_loops",
    "accuracy_against_state",
    "accuracy_against_steps",
    "alternative",
    "cost_against_length",
    "frontier",
    "learning_curves",
    "loops_used",
    "phase_map",
    "published",
    "render",
    "required_resource",
    "steps_map",
    "success_over_rate",
    "table_against_length",
]
