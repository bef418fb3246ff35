"""Parity: the answer to every prefix, and the edit of twins at any place."""

import numpy as np
from scipy.stats import chisquare

from tasks.parity import Parity


def test_parity_so_far_is_the_answer_to_every_prefix():
    task, prompt = Parity(), Parity().prompts(7)
    for place in range(7):
        assert (task.so_far(prompt)[:, place] == task.solve(prompt[:, : place + 1])[:, 0]).all()


def test_parity_twins_differ_in_one_bit_at_any_place():
    prompt = Parity().sample(np.random.default_rng(6), 8001, 9, "boundary").prompt
    edit = prompt[:-1:2] ^ prompt[1::2]
    assert (edit.sum(axis=1) == 1).all()
    assert chisquare(edit.sum(axis=0)).pvalue > 1e-3
