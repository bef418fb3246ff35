"""A file of a run that is not what was written is named, whatever became of it: never a silent wrong number."""

import shutil
from itertools import product

import numpy as np
import pytest

from harness import config, experiment, status, store
from harness.store.manifest import FILES, MANIFEST, RECORD
from tests.test_checkpoints import FILES as PARTS
from tests.test_experiment import SMALL

LINE = [*SMALL, "model.loops=2", "model.halting=ponder", "train.updates=30", "train.validate_every=10"]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folders of two runs with every kind of file."""
    root = tmp_path_factory.mktemp("two")
    both = [experiment.run(point, root, quiet=True) for point in config.points([*LINE, "seed=0,1"], sweep=True)]
    assert all((folder / name).exists() for folder in both for name in (*FILES, MANIFEST))
    return both


def flipped(data, rng, other):
    place = rng.integers(len(data))
    return data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]


def cut(data, rng, other):
    return data[: rng.integers(len(data))]


def zeroed(data, rng, other):
    place = int(rng.integers(len(data)))
    end = min(len(data), place + 4096)
    return data[:place] + bytes(end - place) + data[end:]


def swapped(data, rng, other):
    return other


MUTATIONS = (flipped, cut, zeroed, swapped)


def newest(folder):
    return max((folder / "checkpoint").iterdir())


def seen(folder, path):
    """Whether what reads a run names this file; or, of a manifest, a file that it does not vouch for any more."""
    if path.parent != folder:
        found = store.load_checkpoint(folder)
        culprit = path.parent if path.name == MANIFEST else path
        return found.facts["update"] < int(path.parent.name) and str(culprit) in " ".join(found.complaints)
    (row,) = store.read_folders([folder]).head(1).to_dict("records")
    culprit = row["reason"] or ""
    return row["status"] == "CORRUPT" and path.name in culprit


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_file_that_is_gone_is_named(name, two):
    (folder, _), path = two, two[0] / name
    data = path.read_bytes()
    path.unlink()
    try:
        assert seen(folder, path)
        assert folder in store.runs(folder.parents[1]), "no reader of all runs overlooks it"
        assert (status.standings(folder.parents[1])[folder.name].state == "unreadable") == (name in (RECORD, MANIFEST))
    finally:
        path.write_bytes(data)


def mutated(folder, other, number, rng):
    """Change a file, ask whether that is seen, put it back; None if there is nothing to change."""
    files = [*(folder / name for name in (*FILES, MANIFEST)), *(newest(folder) / name for name in PARTS)]
    path = files[number % len(files)]
    theirs = other / path.name if path.parent == folder else newest(other) / path.name
    data = path.read_bytes()
    change = MUTATIONS[number // len(files) % len(MUTATIONS)]
    worse = change(data, rng, theirs.read_bytes())
    if worse == data:  # zeros over zeros, or both runs have the same
        return None
    path.write_bytes(worse)
    try:
        return seen(folder, path)
    finally:
        path.write_bytes(data)


def tried(folder, other, count):
    rng = np.random.default_rng(0)
    found, number = [], 0
    while len(found) < count:
        told = mutated(folder, other, number, rng)
        found += [told] if told is not None else []
        number += 1
    return found


@pytest.mark.torture
def test_every_changed_file_is_noticed_and_named(two, times, promise):
    folder, other = two
    assert store.read_run(folder)["status"].unique().tolist() == ["DONE"]
    found = tried(folder, other, times(1000))
    assert store.read_run(folder)["status"].unique().tolist() == ["DONE"], "what was put back is not complained of"
    promise(5, len(found), sum(found))


@pytest.mark.torture
def test_a_folder_that_nothing_vouches_for_is_the_broken_twin(two, tmp_path, times, promise):
    folder, other = two
    twin = tmp_path / "runs" / folder.name
    shutil.copytree(folder, twin)
    listed = store.from_json(twin / MANIFEST)["files"]
    (twin / MANIFEST).write_text(store.to_json({name: listed[name] for name in ("scores.csv", "items.npz")}))
    (twin / "run.json").write_text(store.to_json(store.from_json(folder / "run.json") | {"format": 1}))
    assert store.read_run(twin)["status"].unique().tolist() == ["DONE"], "results of an older harness are read"
    promise(5, twins=1, caught=int(not all(tried(twin, other, times(1000)))))


@pytest.fixture
def studied(tmp_path):
    """The results folder of a study with a table, its record, its table, and both of another study."""
    files = []
    for study in ("mine", "other"):
        rows = [{"n": n, "error": len(study) / n} for n in (1, 3, 7)]
        told = {
            "study": study,
            "size": "small",
            "words": [f"seed={n}" for n in range(20)],
            "arms": {"all": [study]},
            "theory": {"rank": {}},
        }
        store.save_study(
            tmp_path, told | {"tables": {"rank": store.save_table(tmp_path, study, "small", "rank", rows)}}
        )
        files += [tmp_path / "studies" / f"{study}-small{end}" for end in (".json", "-rank.csv")]
    return tmp_path, *files


def complaint(root):
    """What is said as the studies of a results folder are read."""
    try:
        for record in map(store.load_study, store.studies([root])):
            store.load_table(root, record, "rank")
    except store.Corrupt as error:
        return str(error)
    return ""


def unnoticed(studied):
    """Changes of a study's record or table of which nothing is said."""
    root, *files = studied
    rng = np.random.default_rng(0)
    for path, theirs in zip(files[:2], files[2:], strict=True):
        data, other = path.read_bytes(), theirs.read_bytes()
        for number in range(100):
            path.write_bytes(MUTATIONS[number % len(MUTATIONS)](data, rng, other))
            if str(path) not in complaint(root):
                yield path.name, path.read_bytes()
        path.write_bytes(data)
        assert complaint(root) == ""


def test_every_change_of_a_study_is_noticed_and_named(studied):
    assert list(unnoticed(studied)) == []


def test_every_bit_of_a_study_s_record_counts(studied):
    root, path, *_ = studied
    data = path.read_bytes()
    for place, bit in product(range(len(data)), range(8)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        assert str(path) in complaint(root), (place, bit)


@pytest.mark.parametrize("name", ["a study", MANIFEST])
def test_what_is_deeper_than_any_of_ours_is_refused_in_words(name, studied):
    root, path, *_ = studied
    path = root / MANIFEST if name == MANIFEST else path
    for depth in (20, 900):
        path.write_text(f'{{"arms":{{}},"seal":"x","files":{{"run.json":{"[" * depth}{"]" * depth}}}}}')
        with pytest.raises(store.Corrupt, match="more than 20 levels"):
            store.manifest.sealed(root) if name == MANIFEST else store.load_study(path)


def test_a_study_that_nothing_vouches_for_is_the_broken_twin(studied):
    root, path, table, *_ = studied
    told = store.from_json(path)
    path.write_text(store.to_json({key: told[key] for key in told if key not in ("seal", "tables")}))
    assert complaint(root) == "", "results of an older harness are read"
    assert {name for name, _ in unnoticed(studied)} == {path.name, table.name}


def test_a_writer_that_meets_a_changed_file_says_so_and_leaves_it(two):
    folder, _ = two
    path = folder / "run.json"
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"seed"', b'"sead"').replace(b"DONE", b"done"))
    changed = path.read_bytes()
    with pytest.raises(store.Corrupt, match=r"run\.json does not have the SHA-256"):
        store.save_record(folder, {"status": "DONE"})
    assert path.read_bytes() == changed
    path.write_bytes(good)


def test_a_kill_between_two_writes_is_harmless(two, tmp_path, monkeypatch):
    """After each write of a save, all of which go through one door, everything of the folder is vouched for."""
    folder, _ = two
    names = ("config.yaml", "curve.csv", "scores.csv")
    for count in range(len(names) + 2):
        for fresh in (False, True):
            copy = tmp_path / f"{count}{fresh}" / "runs" / folder.name
            shutil.copytree(folder, copy)
            if fresh:
                for name in (*names, MANIFEST):
                    (copy / name).unlink()
                (copy / "items.npz").unlink()
                (copy / "run.json").unlink()
            left = count

            def writing(path, data, write=store.disk.write):
                nonlocal left
                if left == 0:
                    raise KeyboardInterrupt
                left -= 1
                write(path, data)

            with monkeypatch.context() as patch:
                patch.setattr(store.disk, "write", writing)
                try:
                    store.save_files(copy, {name: b"new" for name in names})
                except KeyboardInterrupt:
                    assert count <= len(names)
            store.manifest.vouched(copy)
