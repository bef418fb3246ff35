"""Three numbers name a stream: nothing else does, nothing else is moved."""

import random
from itertools import combinations, product

import numpy as np
import pytest
import torch

from harness.seeding import rng

NAMES = product(("train", "validation", "test"), ("boundary", "broad", "natural"), ("2", "4", "16", "64"))
STREAMS = ["weights", "shape", "train/length", *map("/".join, NAMES)]
GRID = list(product((0, 1, 2, 10, 11, 2**63 - 1), STREAMS, (0, 1, 2, 10, 11, 2500)))


def coinciding(make, triples):
    """Pairs of triples whose streams begin alike."""
    begin = {}
    for triple in triples:
        begin.setdefault(int(make(*triple).integers(2**63)), []).append(triple)
    return [pair for alike in begin.values() for pair in combinations(alike, 2)]


@pytest.mark.parametrize(
    "other",
    [(4, "train/boundary/16", 7), (3, "train/boundary/17", 7), (3, "train/boundary/16", 8)],
    ids=["seed", "stream", "index"],
)
def test_each_of_the_three_numbers_changes_the_stream(other):
    one, another = (rng(*triple).integers(2**63, size=64) for triple in ((3, "train/boundary/16", 7), other))
    assert not set(one.tolist()) & set(another.tolist())


def test_equal_triples_are_equal_streams():
    one, another = (rng(3, "test/broad/64", 0) for _ in range(2))
    assert (one.integers(2**63, size=64) == another.integers(2**63, size=64)).all()
    assert (one.permutation(64) == another.permutation(64)).all()


def test_the_first_values_are_the_same_on_every_platform():
    stream = rng(3, "train/boundary/16", 7)
    integers = [4226057180180232272, 1144315723551607737, 8573824838991751233]
    assert stream.integers(2**63, size=3).tolist() == integers
    assert [value.hex() for value in stream.random(2)] == ["0x1.f0b16ad85a350p-3", "0x1.ef994f4a4fc18p-2"]
    assert stream.permutation(8).tolist() == [5, 3, 7, 1, 0, 6, 4, 2]


def test_no_two_streams_of_a_run_coincide():
    assert coinciding(rng, GRID) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda seed, stream, index: np.random.default_rng(seed + index),
        lambda seed, stream, index: np.random.default_rng([seed, len(stream), index]),
        lambda seed, stream, index: rng(0, f"{seed}{stream}", index),
        lambda seed, stream, index: rng(seed % 2**32, stream.split("/")[0], index),
    ],
    ids=["additive", "length_of_the_name", "seed_run_into_the_stream", "split_forgotten"],
)
def test_a_careless_key_is_caught(make):
    lookalikes = [(1, "1/broad", 0), (11, "/broad", 0)]
    assert coinciding(rng, lookalikes) == []
    assert coinciding(make, GRID + lookalikes)


def moved_by(make):
    """Which global generators are elsewhere once a stream was made and used."""

    def positions():
        legacy = np.random.get_state()  # noqa: NPY002 - how else to see where it stands
        return {"python": random.getstate(), "numpy": str(legacy), "torch": torch.get_rng_state().tolist()}

    before = positions()
    make(3, "weights", 0).normal(size=100)
    return [name for name, position in positions().items() if position != before[name]]


def test_no_global_generator_is_moved():
    assert moved_by(rng) == []


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("python", random.random),
        ("numpy", np.random.random),
        ("torch", lambda: torch.rand(1)),
    ],
)
def test_a_global_generator_that_is_moved_is_caught(name, move):
    assert moved_by(lambda *triple: move() is not None and rng(*triple)) == [name]
