"""Inside a trained model: what each layer made of its tokens, as matrices, with their ranks and how many keys a query
reaches.

A map that is linear in its values *is* a matrix, a row for each query and a column for each key (``Mixer.mixing``).
Measured is that matrix, on test items that are read as evaluation reads them, with all numbers in float64. Of a map
that is not, the influence of input j on output t is measured, the norm of its derivative: no matrix of a linear map, so
it has keys and no ranks. Of third order there is a marginal, which is measured like a mixing matrix.

Beside each measure stands that of uniform weights under the same mask: a causal mask alone has rank T.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from harness import store
from harness.attention import Mixer
from harness.draw import Source
from harness.experiment import trained
from harness.identity import versions
from harness.model import GPT
from harness.report.inside import RANKS, Picture
from harness.sequence import Batch
from harness.settings import Experiment
from harness.theory.matrices import effective_rank, epsilon_rank, in_unit_rows, keys, rank

MOST = 10_000  # items
LEGIBLE = 70  # tokens of a matrix that can be read as a picture


class Layer(NamedTuple):
    """What one layer did with one sequence."""

    matrix: str  # what they are: mixing, marginal or influence
    matrices: np.ndarray  # (H, T, T) a row for each query; (1, T, T) of an influence
    prefix: int  # tokens that saw each other


def look(
    folder: Path, experiment: Experiment, lengths: Iterable[int], split: str, items: int
) -> tuple[pd.DataFrame, list[Picture]]:
    """A row for each length, item, layer and head of a run, and the matrices of one item, layer by layer.

    That item is the first of the longest length that can be read as a picture. Raises ValueError, in a sentence, for a
    run without a model and for lengths that it cannot read.
    """
    if not 2 <= items <= MOST:
        raise ValueError(f"--items {items}: 2 to {MOST} are possible")
    torch.set_num_threads(experiment.threads)  # others give other last digits
    asked = replace(experiment.evaluate, lengths=tuple(lengths), stop="budget", steps=())
    experiment = replace(experiment, evaluate=asked)
    model, source = restored(folder, experiment), Source.of(experiment)
    kinds = [choice.name for choice in experiment.attention.of_layers(experiment.model.layers)]
    kinds *= experiment.model.loops  # a layer for each loop
    rows, pictures = [], []
    for length in tqdm(sorted(asked.lengths), desc="inside", unit=" lengths", disable=None):
        batch = source.items(split, length, items)
        for item in range(items):
            given, said = calls(model, batch.rows(item, item + 1))
            layers = [_layer(*one) for one in given]
            tokens = layers[0].matrices.shape[-1]
            about = {"run": folder.name, "task": experiment.task_name, "mask": experiment.mask, "split": split}
            about |= {"length": length, "tokens": tokens, "item": item}
            for number, (kind, layer) in enumerate(zip(kinds, layers, strict=True), start=1):
                one = {"layer": number, "attention": kind, "matrix": layer.matrix}
                one |= _uniform(layer.matrix, tokens, layer.prefix, tuple(said))
                found = _measures(layer, said)
                for head, values in enumerate(zip(*found.values(), strict=True), start=1):
                    rows.append(about | one | {"head": head} | dict(zip(found, values, strict=True)))
            if item == 0 and (tokens <= LEGIBLE or not pictures):
                parts = zip(kinds, layers, strict=True)
                pictures = [Picture(length, kind, *layer) for kind, layer in parts]
    return pd.DataFrame(rows), pictures


def restored(folder: Path, experiment: Experiment) -> GPT:
    """The model that a run's training ended with, in float64. Raises ValueError, in a sentence, if it has none."""
    record = store.load_record(folder)
    now = versions(experiment)
    for what in ("task", "attention"):
        was = record["versions"][what]
        if now[what] != was:
            raise ValueError(f"{folder.name} has version {was} of its {what}, now it has {now[what]}: train it anew")
    return trained(folder, experiment, record).double()


def calls(model: GPT, batch: Batch) -> tuple[list[tuple[Mixer, Tensor, int]], list[int]]:
    """What each layer's mixer is given for the one sequence of a batch (1, T, C), and the queries that say the answer.

    It is read as evaluation reads it, the true scratchpad included, up to the query that says the answer's last token.
    With ``mask=encoder`` each token is said by a pass of its own: this is the one that says the answer's first.
    """
    first = batch.given + batch.scratch
    said = batch.said[0].tolist() if batch.inside else list(range(first, first + batch.answer.shape[1]))
    whole, until = (batch.prompt, batch.given) if batch.inside else (batch.read, said[-1] + 1)
    if model.mask == "encoder":
        said, until = said[:1], said[0] + 1
    prefix = {"causal": 0, "prefix": batch.given, "encoder": until}[model.mask]
    found: list[tuple[Mixer, Tensor, int]] = []
    hooks = [
        block.norm_mixer.register_forward_hook(
            lambda norm, given, x, mixer=block.mixer: found.append((mixer, x[:, :until], prefix))
        )
        for block in model.blocks
    ]
    with torch.no_grad():
        model.read(whole, batch.given, torch.tensor([said]))
    for hook in hooks:
        hook.remove()
    return found, said


def _layer(mixer: Mixer, x: Tensor, prefix: int) -> Layer:
    with torch.no_grad():
        matrices = mixer.mixing(x, prefix)
    if matrices is None:
        return Layer("influence", influence(mixer, x, prefix)[0].numpy(), prefix)
    return Layer("mixing" if mixer.order == 2 else "marginal", matrices[0].numpy(), prefix)


def influence(mixer: Mixer, x: Tensor, prefix: int) -> Tensor:
    """(1, T, C) -> (1, 1, T, T): the Frobenius norm of the derivative of output t by input j, exactly.

    Each copy of the input stands for one number of the output, so one backward pass gives all derivatives of a token.
    """
    copies = x.detach().expand(x.shape[-1], -1, -1).clone().requires_grad_()
    out = mixer(copies, None, prefix)[0].diagonal(dim1=0, dim2=2)  # (T, C), a copy for each column
    rows = [torch.autograd.grad(one.sum(), copies, retain_graph=True)[0].square().sum((0, 2)).sqrt() for one in out]
    return torch.stack(rows)[None, None]


def _measures(layer: Layer, said: Sequence[int]) -> dict[str, np.ndarray]:
    """Each measure of every head (H,)."""
    matrices, half = layer.matrices, layer.matrices.shape[-1] // 2
    reached, choosing = keys(matrices), _visible(layer.matrices.shape[-1], layer.prefix) > 1
    found = dict.fromkeys(RANKS, np.full(len(matrices), np.nan))
    found |= {"keys": reached[:, choosing].mean(-1), "keys_answer": reached[:, list(said)].mean(-1)}
    if layer.matrix != "influence":
        even = in_unit_rows(matrices)
        block = even[:, half:, :half]
        found |= {"epsilon_rank": epsilon_rank(even), "effective_rank": effective_rank(even)}
        found |= {"block_rank": rank(block), "block_epsilon_rank": epsilon_rank(block)}
    return found


@cache
def _uniform(matrix: str, tokens: int, prefix: int, said: tuple[int, ...]) -> dict[str, float]:
    """The measures of a map that weighs all that the mask allows alike: what the mask alone makes of them."""
    visible = _visible(tokens, prefix)[:, None]
    weights = (np.arange(tokens) < visible) / visible
    found = _measures(Layer(matrix, weights[None], prefix), said)
    return {f"{name}_uniform": value.item() for name, value in found.items()}


def _visible(tokens: int, prefix: int) -> np.ndarray:
    """(T,): how many keys the mask lets each query see."""
    return np.maximum(np.arange(1, tokens + 1), prefix)
