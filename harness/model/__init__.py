"""The model that an experiment describes."""

import torch

from harness import attention
from harness.model.gpt import GPT
from harness.model.positions import Learned, Position, named
from harness.seeding import rng
from harness.sequence import vocabulary
from harness.settings import Experiment

__all__ = ["GPT", "Learned", "Position", "build"]


def build(experiment: Experiment) -> GPT:
    """The untrained model, its weights drawn from the stream ``weights``; torch's global generator is left as it was.

    Raises ValueError for settings that the variant refuses.
    """
    size, width = experiment.model, experiment.model.width // experiment.model.heads
    place = named(experiment.position.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng(experiment.seed, "weights", 0).integers(2**63)))
        position = place(size.context, size.width, width, **dict(experiment.position.settings))
        placed = {"mask": experiment.mask, "rotate": position.rotate, "bias": position.bias}
        mixers = [
            attention.configured(one.name, one.settings, **placed)(size.width, size.heads)
            for one in experiment.attention.of_layers(size.layers)
        ]
        halts = size.halting == "ponder"
        vocab, loops = vocabulary(experiment.task), size.loops
        return GPT(vocab, size.width, mixers, position, size.token_std, experiment.mask, loops, halts)
