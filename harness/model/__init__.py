"""The model that an experiment describes."""

import torch

from harness import attention
from harness.model.gpt import GPT
from harness.model.positions import Learned
from harness.seeding import rng
from harness.sequence import vocabulary
from harness.settings import Experiment

__all__ = ["GPT", "Learned", "build"]


def build(experiment: Experiment) -> GPT:
    """The untrained model, its weights drawn from the stream ``weights``; torch's global generator is left as it was.

    Raises ValueError for settings that the variant refuses.
    """
    size, variant = experiment.model, attention.configured(experiment.attention.name, experiment.attention.settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng(experiment.seed, "weights", 0).integers(2**63)))
        mixers = [variant(size.width, size.heads) for _ in range(size.layers)]
        position = Learned(size.context, size.width, experiment.position.std)
        return GPT(vocabulary(experiment.task), size.width, mixers, position, size.token_std)
