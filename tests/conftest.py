"""What lies in a folder is tested unasked: a test that asks for ``task`` runs once for every file in ``tasks/``,
one that asks for ``variation`` once for each of their variations, one that asks for ``variant`` once for every file in
``harness/attention/``, and one that asks for ``mask`` too once for
every mask that the variant can keep. One that asks for ``scratchpad`` runs for every task with each of its module's
``SCRATCHPADS`` that the task can have; one that asks for ``after``, ``inside`` or ``dense`` for the tasks that are so.
"""

import os
from functools import cache

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start theirs, and for what the tests start

import numpy as np
import pytest
import torch

import tasks
from harness import attention, config
from tests import promises
from tests.victims import Victims

torch.set_num_threads(1)  # as a run does; tiny tensors gain nothing from more, and test processes share the cores

LONGEST = ("test_readme", "test_resume", "test_attention", "test_model", "test_tasks", "test_study_smoke")
KINDS = {
    "after": lambda task, one: one.at is None,  # answers are said after the prompt
    "inside": lambda task, one: one.at is not None,
    "dense": lambda task, one: task.so_far(one.prompt) is not None,  # there is an answer so far
}


def pytest_addoption(parser):
    parser.addoption("--promises", metavar="PAGE", help="write what was tried against each promise to this page")


def pytest_collection_modifyitems(items):
    """The longest files first, so that the two workers end together."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


def pytest_terminal_summary(terminalreporter, config):
    found = promises.gathered(report for reports in terminalreporter.stats.values() for report in reports)
    if found:
        terminalreporter.section("promises")
        terminalreporter.write(promises.table(found))
    if page := config.getoption("--promises"):
        promises.write(page, found)


@pytest.fixture(scope="session")
def times(request):
    """See promises.py."""
    whole = request.config.option.markexpr == "torture"
    return lambda count: count if whole else -(-count // 10)


@pytest.fixture(scope="module")
def victims():
    """See victims.py."""
    server = Victims()
    yield server
    server.close()


@pytest.fixture
def promise(record_property):
    """See promises.py."""

    def kept(row, tried=0, survived=0, twins=0, caught=0):
        promises.record(record_property, row, tried=tried, survived=survived, twins=twins, caught=caught)

    return kept


def pytest_generate_tests(metafunc):
    asked = set(metafunc.fixturenames)
    if "task" in asked:
        found = {name: tasks.load(name)() for name in tasks.names()}
        found = {
            name: task for name, task in found.items() if all(KINDS[k](task, one(task)) for k in asked & set(KINDS))
        }
        if "scratchpad" in asked:
            pads = metafunc.module.SCRATCHPADS
            pairs = [(name, pad) for name, task in found.items() for pad in pads if possible(task, pads[pad])]
            cases = [(found[name], pads[pad].canonical(found[name])) for name, pad in pairs]
            metafunc.parametrize(("task", "scratchpad"), cases, ids=map("-".join, pairs))
        else:
            metafunc.parametrize("task", found.values(), ids=found)
    if "variation" in asked:
        found = {f"{name}-{number}": one for name in tasks.names() for number, one in enumerate(others(name), start=1)}
        metafunc.parametrize("variation", found.values(), ids=found)
    if {"variant", "mask"} <= asked:
        pairs = [(name, mask) for name in attention.names() for mask in attention.load(name).masks]
        cases = [(variant(name), mask) for name, mask in pairs]
        metafunc.parametrize(("variant", "mask"), cases, ids=map("-".join, pairs))
    elif "variant" in asked:
        metafunc.parametrize("variant", [variant(name) for name in attention.names()], ids=attention.names())


def others(name):
    """The variations of a task."""
    return tasks.load(name).variations()


@cache
def variant(name):
    """(width, heads) -> a mixer, with the settings of its yaml."""
    return attention.configured(name, config.variant([f"attention={name}"]).settings, attention.load(name).masks[0])


def one(task):
    """An instance."""
    return task.sample(np.random.default_rng(0), 2, task.shortest, "natural")


def possible(task, scratchpad):
    """Whether the task can have this scratchpad: none always, others after the prompt and with steps enough."""
    if one(task).at is not None:
        return scratchpad.scale == 0
    try:
        return scratchpad.canonical(task).steps(task, task.shortest + 5) >= 0
    except ValueError:
        return False


@pytest.fixture
def after():
    """See above."""


@pytest.fixture
def inside():
    """See above."""


@pytest.fixture
def dense():
    """See above."""
