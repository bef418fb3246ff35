"""A checkpoint is read as it was written, or it is named and the one before is used."""

import hashlib
import random
import shutil

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_unchecked

from harness import store
from harness.store import Corrupt, disk


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


RUN = "pairwise-softmax-none-0123abcd"


@pytest.fixture
def run(tmp_path):
    """A run folder after three checkpoints."""
    where = store.run_folder(tmp_path, RUN)
    for update in (10, 20, 30):
        save(where, update)
    return where


def save(where, update, seed=None):
    curve = store.to_csv([{"update": u, "loss": u / 3, "validation": None} for u in range(update)], CURVE)
    store.save_checkpoint(where, update, tensors(update if seed is None else seed), {"passed": 1}, curve)


CURVE = ("update", "loss", "validation")


def test_a_checkpoint_is_read_as_it_was_written(run):
    found = store.load_checkpoint(run)
    assert same(found.tensors, tensors(30))
    assert found.facts == {"run": RUN, "update": 30, "passed": 1}
    assert [row["loss"] for row in found.curve] == [update / 3 for update in range(30)]
    assert found.sha256 == hashlib.sha256((run / "checkpoint/00000030/tensors.safetensors").read_bytes()).hexdigest()
    assert found.complaints == []
    assert same(found.under("model."), {"weight": found.tensors["model.weight"], "bias": found.tensors["model.bias"]})


def test_the_last_two_are_kept(run):
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == ["00000020", "00000030"]


def test_no_checkpoint_is_none(tmp_path):
    assert store.load_checkpoint(tmp_path / "nothing") is None
    assert not store.has_checkpoint(tmp_path / "nothing")


FILES = ("tensors.safetensors", "facts.json", "curve.csv", "manifest.json")


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
        save(where, update, seed=update + 1)
    return where


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(run, stranger):
    seen = 0
    for what, path in mutations(run, stranger, 400):
        found = store.load_checkpoint(run)
        (complaint,) = found.complaints
        assert same(found.tensors, tensors(20)), what
        assert (found.facts["update"], len(found.curve)) == (20, 20), what
        assert str(path.parent) in complaint, what
        seen += 1
    assert seen > 380
    assert same(store.load_checkpoint(run).tensors, tensors(30))


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
    found = store.load_checkpoint(run)
    assert same(found.tensors, tensors(20))
    assert found.complaints == [f"{newest} holds the checkpoint of {RUN} at update 20"]


def test_the_checkpoint_of_another_run_is_noticed(run, stranger):
    newest = run / "checkpoint" / "00000030"
    shutil.rmtree(newest)
    shutil.copytree(stranger / "checkpoint" / "00000030", newest)
    found = store.load_checkpoint(run)
    assert same(found.tensors, tensors(20))
    assert found.complaints == [f"{newest} holds the checkpoint of {stranger.name} at update 30"]


def test_what_is_made_after_a_damaged_one_takes_its_place(run):
    (run / "checkpoint/00000030/facts.json").write_text("{}")
    save(run, 25)
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == ["00000020", "00000025"]
    assert store.load_checkpoint(run).complaints == []


def test_what_the_disk_did_not_take_is_noticed_before_the_old_goes(run, monkeypatch):
    write = disk.write

    def losing(path, data):
        write(path, data[:-1] if path.name == "tensors.safetensors" else data)

    monkeypatch.setattr(disk, "write", losing)
    with pytest.raises(Corrupt, match=r"00000040.*SHA-256"):
        save(run, 40)
    monkeypatch.undo()
    assert {"00000020", "00000030"} <= {path.name for path in (run / "checkpoint").iterdir()}
    assert same(store.load_checkpoint(run).tensors, tensors(30))


def test_no_checkpoint_that_verifies_is_an_end_not_a_beginning(run):
    for update in ("00000020", "00000030"):
        (run / "checkpoint" / update / "facts.json").write_text("{}")
    with pytest.raises(Corrupt, match=r"00000030.*00000020"):
        store.load_checkpoint(run)


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_checkpoint_that_was_interrupted_does_not_count(run, done, monkeypatch):
    write, made = disk.write, []

    def interrupted(path, data):
        if len(made) == done:
            raise Killed
        made.append(path)
        write(path, data)

    monkeypatch.setattr(disk, "write", interrupted)
    with pytest.raises(Killed):
        save(run, 40)
    found = store.load_checkpoint(run)
    assert same(found.tensors, tensors(30))
    assert found.complaints == []

    monkeypatch.undo()
    save(run, 50)
    complete = {path.parent.name for path in (run / "checkpoint").glob("*/manifest.json")}
    assert complete == {"00000030", "00000050"}
    (run / "checkpoint" / "00000050" / "facts.json").unlink()
    assert same(store.load_checkpoint(run).tensors, tensors(30))


def test_a_first_checkpoint_that_was_interrupted_is_none(run):
    for manifest in run.glob("checkpoint/*/manifest.json"):
        manifest.unlink()
    assert store.load_checkpoint(run) is None


def test_a_manifest_vouches_for_no_nonsense(run):
    newest = run / "checkpoint" / "00000030"
    shutil.rmtree(run / "checkpoint" / "00000020")
    facts = store.to_json({"run": RUN, "update": 30}).encode()
    data = {"tensors.safetensors": b"\x80\x04nonsense", "facts.json": facts, "curve.csv": b""}
    for name, content in data.items():
        (newest / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in data.items()}
    (newest / "manifest.json").write_text(store.to_json(hashes))
    with pytest.raises(Corrupt, match=r"tensors\.safetensors"):
        store.load_checkpoint(run)
