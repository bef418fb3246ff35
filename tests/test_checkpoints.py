"""A checkpoint is read as it was written, or it is named and the one before is used."""

import hashlib
import random
import shutil

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_unchecked

from harness import store
from harness.store import Corrupt


class Killed(BaseException):
    """The process ends here: no handler of errors runs."""


def tensors(seed):
    stream = torch.Generator().manual_seed(seed)
    return {
        "model.weight": torch.randn(61, 37, generator=stream),
        "model.bias": torch.randn(37, generator=stream, dtype=torch.float64),
        "optimizer.0.step": torch.tensor(float(seed)),
        "cursor": torch.tensor(2**62 + seed),
        "stream": torch.randint(0, 256, (999,), generator=stream, dtype=torch.uint8),
    }


def same(one, other):
    return one.keys() == other.keys() and all(
        one[key].dtype == other[key].dtype and torch.equal(one[key], other[key]) for key in one
    )


@pytest.fixture
def run(tmp_path):
    """A run folder after three checkpoints."""
    where = store.run_folder(tmp_path, "pairwise-softmax-none-0123abcd")
    for update in (10, 20, 30):
        store.save_checkpoint(where, update, tensors(update), {"versions": {"task": 1}})
    return where


def test_a_checkpoint_is_read_as_it_was_written(run):
    found, facts, complaints = store.load_checkpoint(run)
    assert same(found, tensors(30))
    assert facts == {"update": 30, "versions": {"task": 1}}
    assert complaints == []


def test_the_last_two_are_kept(run):
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == ["00000020", "00000030"]


def test_no_checkpoint_is_none(tmp_path):
    assert store.load_checkpoint(tmp_path / "nothing") is None


FILES = ("tensors.safetensors", "facts.json", "manifest.json")


def mutations(run, stranger, count):
    """The newest checkpoint damaged in one file, again and again; the run is whole again after each."""
    dice, newest = random.Random(0), run / "checkpoint" / "00000030"
    others = [run / "checkpoint" / "00000020", stranger / "checkpoint" / "00000030"]
    for number in range(count):
        kind = ("flip", "cut", "zero", "swap")[number % 4]
        path = newest / dice.choice(FILES)
        whole = path.read_bytes()
        data, at = bytearray(whole), dice.randrange(len(whole) - 1)
        if kind == "flip":
            data[at] ^= 1 << dice.randrange(8)
        elif kind == "cut":
            del data[at:]
        elif kind == "zero":
            data[at : at + 512] = bytes(len(data[at : at + 512]))
        else:
            data = (dice.choice(others) / path.name).read_bytes()
        if bytes(data) == whole:
            continue
        path.write_bytes(data)
        yield f"{kind} {path.name} at {at}", path
        path.write_bytes(whole)


@pytest.fixture
def stranger(tmp_path):
    """Another run at the same updates."""
    where = store.run_folder(tmp_path, "pairwise-softmax-none-89abcdef")
    for update in (20, 30):
        store.save_checkpoint(where, update, tensors(update + 1), {"versions": {"task": 2}})
    return where


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run, stranger):
    seen = 0
    for what, path in mutations(run, stranger, 400):
        found, facts, (complaint,) = store.load_checkpoint(run)
        assert same(found, tensors(20)), what
        assert facts["update"] == 20, what
        assert str(path.parent) in complaint, what
        seen += 1
    assert seen > 380
    assert same(store.load_checkpoint(run)[0], tensors(30))


def test_the_format_alone_would_not_notice(run, stranger):
    missed = 0
    for what, path in mutations(run, stranger, 400):
        if path.name == "tensors.safetensors" and what.startswith(("flip", "zero")):
            try:
                missed += not same(load_unchecked(path.read_bytes()), tensors(30))
            except SafetensorError:
                continue
    assert missed > 20


def test_a_checkpoint_in_the_place_of_another_is_noticed(run):
    newest, before = run / "checkpoint" / "00000030", run / "checkpoint" / "00000020"
    shutil.rmtree(newest)
    shutil.copytree(before, newest)
    found, _, (complaint,) = store.load_checkpoint(run)
    assert same(found, tensors(20))
    assert complaint == f"{newest} holds the checkpoint of update 20"


def test_no_checkpoint_that_verifies_is_an_end_not_a_beginning(run):
    for update in ("00000020", "00000030"):
        (run / "checkpoint" / update / "facts.json").write_text("{}")
    with pytest.raises(Corrupt, match=r"00000030.*00000020"):
        store.load_checkpoint(run)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_checkpoint_that_was_interrupted_does_not_count(run, done, monkeypatch):
    write, made = store.write, []

    def interrupted(path, data):
        if len(made) == done:
            raise Killed
        made.append(path)
        write(path, data)

    monkeypatch.setattr(store, "write", interrupted)
    with pytest.raises(Killed):
        store.save_checkpoint(run, 40, tensors(40), {})
    found, _, complaints = store.load_checkpoint(run)
    assert same(found, tensors(30))
    assert complaints == []

    monkeypatch.undo()
    store.save_checkpoint(run, 50, tensors(50), {})
    complete = {path.parent.name for path in (run / "checkpoint").glob("*/manifest.json")}
    assert complete == {"00000030", "00000050"}
    (run / "checkpoint" / "00000050" / "facts.json").unlink()
    assert same(store.load_checkpoint(run)[0], tensors(30))


def test_a_first_checkpoint_that_was_interrupted_is_none(run):
    for manifest in run.glob("checkpoint/*/manifest.json"):
        manifest.unlink()
    assert store.load_checkpoint(run) is None


def test_a_manifest_vouches_for_no_nonsense(run):
    newest = run / "checkpoint" / "00000030"
    shutil.rmtree(run / "checkpoint" / "00000020")
    data = {"tensors.safetensors": b"\x80\x04nonsense", "facts.json": store.to_json({"update": 30}).encode()}
    for name, content in data.items():
        (newest / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in data.items()}
    (newest / "manifest.json").write_text(store.to_json(hashes))
    with pytest.raises(Corrupt, match=r"tensors\.safetensors"):
        store.load_checkpoint(run)
