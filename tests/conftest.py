"""What lies in a folder is tested unasked: a test that asks for ``task`` runs once for every file in ``tasks/``,
one that asks for ``variant`` once for every file in ``harness/attention/``, and one that asks for ``mask`` too once for
every mask that the variant can keep.
"""

import torch

import tasks
from harness import attention, config

torch.set_num_threads(1)  # as a run does; tiny tensors gain nothing from more, and test processes share the cores


def pytest_generate_tests(metafunc):
    if "task" in metafunc.fixturenames:
        metafunc.parametrize("task", [tasks.load(name)() for name in tasks.names()], ids=tasks.names())
    if {"variant", "mask"} <= set(metafunc.fixturenames):
        pairs = [(name, mask) for name in attention.names() for mask in attention.load(name).masks]
        cases = [(variant(name), mask) for name, mask in pairs]
        metafunc.parametrize(("variant", "mask"), cases, ids=map("-".join, pairs))
    elif "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", [variant(name) for name in attention.names()], ids=attention.names())


def variant(name):
    """(width, heads) -> a mixer, with the settings of its yaml."""
    return attention.configured(name, config.variant([f"attention={name}"]).settings)
