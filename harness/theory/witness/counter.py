"""Weights that add residues modulo m in one GRU layer: the state is one of m² saturated units.

Unit (r, y) is 1 after residue y has brought the sum to r, all others are -1. The next is (r, y) iff the token is y and
the sum was r - y, an AND of two numbers, each linear in the token or in the state:

    tanh K (2 [x = y] + 2 [sum = r - y] - 3)        K or less than -K inside

float32 has tanh 10 = 1, sigmoid 100 = 1 and sigmoid -100 = 0 (4e-44), so the gates are open or shut, each step writes
exact 1 and -1 whatever rounding was in it, and no error is carried: it is exact at every n. So are THINK and ANSWER,
which keep the state through the update gate.

Why this map: a linear recurrence turns a plane by 2π x / m (with signed eigenvalues of the delta rule, two reflections
a residue), or adds up and never wraps around; either way the rounding of each step stays in the state, and n of them
reach π / m some time. Nothing linear brings a number back to where it belongs, a saturated unit does. It pays with m²
units for log2 m bits; the state does not grow with n.
"""

import torch

from harness.model import GPT
from harness.theory.witness.base import Witness, add, length_of, places, shape, thirds
from tasks.modular_addition import ModularAddition

SHARP = 100.0  # what is said of a sum
SATURATED = 10.0  # K: tanh K is 1
SHUT = 100.0  # what closes a gate
MOST = 32  # residues: units and the square of their number grow with m² and m⁴


def _places(task: ModularAddition) -> tuple[tuple[slice, ...], int]:
    """Residues, sums that are said, START, and marks that keep the state."""
    return places(task.modulus, task.modulus, 1, 1)


def _write(model: GPT, task: ModularAddition, length: int, scale: float) -> None:
    modulus, embedding, (block,) = task.modulus, model.tokens.weight, model.blocks
    (residue, said, start, keep), width = _places(task)
    add(embedding.T, residue, slice(modulus), torch.eye(modulus))
    add(embedding.T, said, slice(modulus, 2 * modulus), torch.eye(modulus))
    add(embedding.T, start, 2 * modulus, 1.0)  # the first mark
    add(embedding.T, keep, slice(2 * modulus + 1, None), 1.0)
    divided, sharp, cells = length_of(1, width), SATURATED * scale, block.mixer.cells
    sums, last = (part.flatten() for part in torch.meshgrid(*[torch.arange(modulus)] * 2, indexing="ij"))
    units = len(sums)
    _, update, new = thirds(units)
    cells.bias_ih_l0[: 2 * units], cells.bias_ih_l0[update] = SHUT, -SHUT  # the reset gate lets all of the state in
    cells.weight_ih_l0[update, keep] = 2 * SHUT * divided
    cells.weight_ih_l0[new, residue] = 2 * sharp * divided * torch.eye(modulus)[last]
    before = (sums[:, None] - last[:, None]) % modulus == sums  # (units, units): those whose sum came before
    cells.weight_hh_l0[new] = sharp * before.float()  # of m units at -1, or one of them at 1: -m, or 2 - m
    cells.bias_ih_l0[new] = sharp * (modulus - 3)
    cells.weight_ih_l0[new, start] = -sharp * divided * (modulus - 2)  # the state is 0: all -1 ...
    cells.weight_ih_l0[new, start][0] += 2 * sharp * divided  # ... but the sum 0
    totals = torch.eye(modulus)[sums].T  # (m, units)
    add(block.mixer.project_out.weight, said, slice(None), SHARP * totals)
    add(block.mixer.project_out.bias[:, None], said, 0, SHARP * modulus)


COUNTER = Witness(
    name="counter",
    attention="gru",
    problem=f"sums modulo 2 to {MOST} (task=modular_addition task.modulus={MOST})",
    kind=ModularAddition,
    holds=lambda task: task.modulus <= MOST,
    evidence="exact at every n: saturated gates write 1 and -1 anew at each token, so no rounding is carried",
    words=lambda task, length: [f"attention.state={task.modulus**2}", *shape(layers=1, width=_places(task)[1])],
    write=_write,
)
