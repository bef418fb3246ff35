"""Adding a task is one new file, a variant one file and one yaml: done to a copy of the checkout, tested unasked."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PYTEST = ("-m", "pytest", "-q", "-n", "0", "--assert", "plain")  # rewriting every file of tests would take longer

TASK = '''
"""Is the last item odd?

>>> task = LastOdd(values=8)
>>> task.solve(np.array([[3, 1, 4], [1, 4, 1]])).tolist()  # 8 = no, 9 = yes
[[8], [9]]
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from tasks.base import SPLITS, Bound, Instance, Task, Theory, Trace


@dataclass(frozen=True)
class LastOdd(Task):
    """The answer is the parity of the last of n items."""

    values: int = 64

    version = 1
    golden = {1: "GOLDEN"}
    shortest, longest = 32, 256
    twin_tokens = 1
    shortcuts = ("last_token",)
    theory = Theory(*[Bound("1", "", "look at the last item", exact=True)] * 5)

    @property
    def vocab(self):
        return self.values + 2

    @property
    def traces(self):
        look = lambda prompt: prompt[:, -1:, None]
        return {"look": Trace(1, "1", lambda n: 1, look, lambda p, done: look(p)[:, 0], lambda s: self._say(s[:, 0]))}

    def sample(self, rng, size, length, split):
        if split not in SPLITS:
            raise ValueError(f"split={split}: {', '.join(SPLITS)} exist")
        prompt = rng.integers(0, self.values, (size, length))
        if split == "boundary":
            prompt[1::2] = prompt[: size // 2 * 2 : 2]
            prompt[:, -1] = prompt[:, -1] // 2 * 2 + np.arange(size) % 2
        return Instance(prompt, self._say(prompt[:, -1:]))

    def solve(self, prompt):
        return np.array([[self.values + 1] if row[-1] in range(1, self.values, 2) else [self.values] for row in prompt])

    def chance(self, length):
        return 0.5

    @classmethod
    def tiny(cls):
        return cls(values=4), 3

    def prompts(self, length):
        return np.array(list(product(range(self.values), repeat=length)))

    def _say(self, item):
        return self.values + item % 2
'''

VARIANT = '''
"""Uniform attention: the mean of all values so far, to a power that its yaml sets."""

from typing import NamedTuple

import torch
from torch import Tensor

from harness.attention.base import Attention, unrotated


class Sum(NamedTuple):
    seen: int
    total: Tensor  # (B, H, D)


class Mean(Attention):
    version = 1
    golden = {1: GOLDEN}
    formula = "y_t = Σ_{j≤t} v_j / t^power"
    source = "a test"

    def __init__(self, width, heads, power, rotate=unrotated):
        super().__init__(width, heads, rotate)
        self.power = power

    def mix(self, q, k, v, state, prefix):
        before = 0 if state is None else state.total[:, :, None]
        seen = 0 if state is None else state.seen
        total = before + v.cumsum(2) + 0 * (q + k).sum(-1, keepdim=True)  # values may have any width
        count = torch.arange(seen + 1, seen + v.shape[2] + 1, dtype=v.dtype)[:, None]
        if prefix:
            total = torch.cat([total[:, :, prefix - 1, None].expand_as(v[:, :, :prefix]), total[:, :, prefix:]], 2)
            count = count.clamp(min=prefix)
        after = None if state is None else Sum(seen + v.shape[2], total[:, :, -1] if v.shape[2] else state.total)
        return total / count**self.power, after

    def naive_mix(self, q, k, v, prefix):
        until = [max(t + 1, prefix) for t in range(v.shape[2])]
        return torch.stack([v[:, :, :end].sum(2) / end**self.power for end in until], 2)

    def empty(self, batch, room=0):
        return Sum(0, self.project_in.weight.new_zeros(batch, self.heads, self.head_width))

    def state_size(self, length):
        return self.heads * self.head_width

    def mix_flops(self, tokens, seen, prefix):
        return 0

    def scored_pairs(self, tokens, seen=None, prefix=0):
        return 0

    def serial_steps(self, tokens, prefix=0):
        return 1
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    checkout = tmp_path_factory.mktemp("copy") / "checkout"
    junk = shutil.ignore_patterns(".git", ".venv", "__pycache__", "results", ".*_cache")
    shutil.copytree(CHECKOUT, checkout, ignore=junk)
    return checkout


def python(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=300)


def test_one_file_adds_a_task_and_one_file_and_one_yaml_a_variant(copy):
    (copy / "tasks" / "last_odd.py").write_text(TASK)
    (copy / "harness" / "attention" / "mean.py").write_text(VARIANT.replace("GOLDEN", "()"))
    (copy / "conf" / "attention" / "mean.yaml").write_text("name: mean\npower: 1.0\n")

    # the digests are read off, as an author would
    find = "from tasks.check import digest; import tasks; print(digest(tasks.load('last_odd')))"
    golden = python(copy, "-c", find).stdout.strip()
    (copy / "tasks" / "last_odd.py").write_text(TASK.replace("GOLDEN", golden))
    find = (
        "from functools import partial; from harness import attention; from harness.attention.check import fingerprint;"
        "print(fingerprint(partial(attention.load('mean'), power=1.0)))"
    )
    golden = python(copy, "-c", find).stdout.strip()
    (copy / "harness" / "attention" / "mean.py").write_text(VARIANT.replace("GOLDEN", golden))

    laws = python(copy, *PYTEST, "-k", "last_odd or mean", "tests")
    assert laws.returncode == 0, laws.stdout[-3000:]
    assert "last_odd" in python(copy, "-m", "harness", "list", "tasks").stdout
    assert "y_t = Σ_{j≤t} v_j / t^power" in python(copy, "-m", "harness", "list", "attention").stdout

    line = ["task=last_odd", "task.values=8", "attention=mean", "attention.power=0.5", "scratchpad=full"]
    line += ["train.lengths=[32]", "train.updates=20", "train.warmup=5", "train.batch=8", "train.validate_examples=20"]
    run = python(copy, "-m", "harness", *line, "evaluate.lengths=[32,40]", "evaluate.examples=40")
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Seen: mean attention" in run.stdout
    (folder,) = (copy / "results" / "runs").iterdir()
    assert folder.name.startswith("last_odd-mean-full-")
    assert (folder / "accuracy.png").exists()


def test_the_laws_would_notice_a_wrong_addition(copy):
    """The broken twin: a variant whose fast form is another map, a task whose twins do not differ."""
    wrong = VARIANT.replace("GOLDEN", "()").replace("v.cumsum(2)", "2 * v.cumsum(2)").replace("Mean", "Twice")
    (copy / "harness" / "attention" / "twice.py").write_text(wrong)
    (copy / "conf" / "attention" / "twice.yaml").write_text("name: twice\npower: 1.0\n")
    (copy / "tasks" / "last_same.py").write_text(TASK.replace("+ np.arange(size) % 2", "+ 1"))
    tests = ("tests/test_attention.py", "tests/test_tasks.py")
    laws = python(copy, *PYTEST, "-k", "last_same or twice", *tests)
    assert laws.returncode == 1
    assert "two_forms" in laws.stdout
    assert "twins" in laws.stdout
