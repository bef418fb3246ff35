"""Weights that write the running parity, one bit after another, in two softmax layers of constant width.

The prompt has a length that the model is not told, so it must find out where it stands. Layer 1: all that is written
after the prompt finds THINK, and reads its place; prompt tokens find START, whose place is 0, and so does ANSWER. The
difference to one's own place is the number of bits written so far. Layer 2 looks for the bit of the next number,

    -β (j - next)² = β (2 j · next - j²) + constant, at place j, where next is a sum of what stands in the stream

and ANSWER for the last written bit, one place back. Two bits at distance 1, and two at 2, weigh 2 e^{-β} + 2 e^{-4β} +
.. against it: below 1 at β = 1.25, so the mean has the right sign, whatever n. The MLP multiplies it with the bit that
was written last, that of the token itself: s b = |s + b| - 1. It is said as even or odd.

What limits it is float32: β (j - next)² is rounded to 2^-24 of β N² for a table of N = 2n + 4 places, counted from its
middle. At n = 1,024 that is 0.1 to 0.3 of the 1.25 between neighbours, and the sign survives 0.5.
"""

import torch

from harness.model import GPT
from harness.sequence import marks
from harness.theory.witness.base import KNEE, Witness, add, length_of, places, shape, thirds
from tasks.parity import EVEN, ODD, Parity

SHARP = 100.0  # what is said of a bit, far above what the token leaves of itself
FIRM = 50.0  # between what is found in layer 1 and what is not: e^-50 is nothing to float32
BETA = 1.25  # a squared place
ITEM, WRITTEN, START, THINK, ANSWER, REST = range(6)  # kinds of tokens
(BIT, KIND, PLACE, SQUARE, FOUND, FETCHED), WIDTH = places(1, 6, 2, 2, 2, 1)


def _first(place: slice) -> slice:
    return slice(place.start, place.start + 1)


def _write(model: GPT, task: Parity, length: int, scale: float) -> None:
    table, (first, second) = model.position.table.weight, model.blocks
    middle, kind_of, mark = (len(table) - 1) / 2, torch.full((len(model.tokens.weight),), REST), marks(task)
    kind_of[:EVEN], kind_of[EVEN : ODD + 1] = ITEM, WRITTEN
    kind_of[mark.start], kind_of[mark.think], kind_of[mark.answer] = START, THINK, ANSWER
    bit = torch.ones(1, len(kind_of))
    bit[0, [1, ODD]] = -1  # nothing was counted before the first: THINK and ANSWER are even
    add(model.tokens.weight.T, BIT, slice(None), bit)
    add(model.tokens.weight.T, KIND, slice(None), torch.eye(6)[kind_of].T)
    at = torch.linspace(-1, 1, len(table), dtype=torch.float64)
    for where, number in ((PLACE, at), (SQUARE, at.square())):  # each with what gives all of them one length
        add(table.T, where, slice(None), torch.stack([number, (1 - number.square()).sqrt()]).float())

    query, key, value = thirds(WIDTH)
    root, divided, later = WIDTH**0.5, length_of(4, WIDTH), length_of(5, WIDTH)
    kinds = torch.arange(KIND.start, KIND.stop)
    mixer = first.mixer
    mixer.project_in.bias[query][0] = root
    mixer.project_in.weight[key][0, kinds] = FIRM * divided * torch.tensor([-1.0, -1, 0, 1, -1, -1])
    mixer.project_in.weight[query][1, kinds[ANSWER]] = root * divided
    mixer.project_in.weight[key][1, kinds[START]] = 3 * FIRM * divided
    mixer.project_in.weight[value][:2, PLACE] = divided * torch.eye(2)
    add(mixer.project_out.weight, FOUND, slice(2), torch.eye(2))

    mixer, sharp = second.mixer, scale * BETA * middle**2 * root
    ask, bias = mixer.project_in.weight[query][0], mixer.project_in.bias[query]
    ask[_first(PLACE)], ask[_first(FOUND)] = 2 * sharp * later, -2 * sharp * later
    ask[kinds[ANSWER]] = -2 * sharp * later * 2 / middle  # from the next place to the one before
    bias[0], bias[1] = 2 * sharp * (1 - middle) / middle, -sharp
    mixer.project_in.weight[key][0, _first(PLACE)] = mixer.project_in.weight[key][1, _first(SQUARE)] = later
    mixer.project_in.weight[value][0, BIT] = later
    add(mixer.project_out.weight, FETCHED, 0, 1.0)
    hidden, out = second.mlp.project_in.weight, second.mlp.project_out.weight
    for unit, sign in enumerate((1, -1)):
        hidden[unit, BIT] = hidden[unit, FETCHED] = sign * KNEE
        add(out, BIT, unit, SHARP / KNEE)
    hidden[2, KIND] = KNEE  # a token is of one kind: 1
    add(out, BIT, 2, -SHARP / KNEE)
    add(out, slice(KIND.start + WRITTEN, KIND.start + WRITTEN + 1), 2, SHARP / KNEE)


RUNNING_BIT = Witness(
    name="running_bit",
    attention="softmax",
    problem="parity with its trace (task=parity)",
    kind=Parity,
    holds=lambda task: True,
    evidence="exact on every prompt of up to n bits: the bits beside the next one weigh less than it does, whatever n",
    words=lambda task, length: [
        *shape(layers=2, width=WIDTH, context=2 * length + 4),
        "scratchpad=full",
        "scratchpad.trace=running_bit",
    ],
    write=_write,
)
