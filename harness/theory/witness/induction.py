"""Weights that answer recall in two softmax layers: look one back, then look for what stood before (an induction head).

All tokens are written in the bits of their number, as -1 and 1, and a row of the position table holds the bits of its
place and those of the place before. Layer 1: each token finds the place before it and reads the token there. Layer 2: a
query finds what came after its key, the value, and says it. The width is O(log n + log symbols), where one layer needs
a size that is linear in n (Sanford, Hsu, Telgarsky 2024).

A bit that differs costs β = ln 4n in layer 2, so all tokens but the right one weigh less than 1/4 of it together, and
the sign of each bit is the value's. Layer 1 is sharper by a factor of 2: what it reads must be good to a share of the
bits of a token. Many tokens that differ in one bit exist only where one token is repeated, as the blank is.
"""

from math import log

import torch

from harness.model import GPT
from harness.sequence import vocabulary
from harness.theory.witness.base import Witness, add, length_of, places, shape, signs, thirds
from tasks.recall import Recall

SHARP = 100.0  # what is said of a bit, far above what the query leaves of itself


def _places(task: Recall, length: int) -> tuple[tuple[slice, ...], int]:
    """Bits of the token and of the one before, of the place and of the one before."""
    symbol, place = (vocabulary(task) - 1).bit_length(), length.bit_length()
    return places(symbol, symbol, place, place)


def _write(model: GPT, task: Recall, length: int, scale: float) -> None:
    (own, before, here, back), width = _places(task, length)
    beta, root, symbols, bits = scale * log(4 * length), width**0.5, own.stop - own.start, here.stop - here.start
    places_, table = torch.arange(length + 1), model.position.table.weight
    add(model.tokens.weight.T, own, slice(None), signs(torch.arange(vocabulary(task)), symbols).T)
    add(table.T, here, slice(None), signs(places_, bits).T)
    add(table.T, back, slice(None), signs((places_ - 1) % 2**bits, bits).T)
    query, key, value = thirds(width)
    first, second = (block.mixer for block in model.blocks)
    divided, later = length_of(symbols + 2 * bits, width), length_of(2 * symbols + 2 * bits, width)
    for mixer, seen, asks, asked, sharp in ((first, divided, back, here, beta), (second, later, own, before, beta / 2)):
        eye = torch.eye(asks.stop - asks.start)
        mixer.project_in.weight[query][asked, asks] = sharp * seen * root * eye
        mixer.project_in.weight[key][asked, asked] = seen * eye
        mixer.project_in.weight[value][own, own] = seen * torch.eye(symbols)
    add(first.project_out.weight, before, own, torch.eye(symbols))
    add(second.project_out.weight, own, own, SHARP * torch.eye(symbols))


INDUCTION = Witness(
    name="induction",
    attention="softmax",
    problem="recall (task=recall)",
    kind=Recall,
    holds=lambda task: True,
    evidence="exact on every prompt of up to n tokens: all but the value weigh less than 1/4 at β = ln 4n a bit",
    words=lambda task, length: shape(layers=2, width=_places(task, length)[1], context=length + 1),
    write=_write,
)
