"""A disk that is full from some write on, at every place of the package that writes: told, nothing lost, repeated."""

import ast
import os
import re
import shutil
import stat
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import harness
from harness import config, store
from harness.__main__ import main
from harness.identity import folder
from harness.launch import sweep
from tests.test_corruption import LINE
from tests.test_experiment import SMALL
from tests.test_store import in_place

HERE = Path(harness.__file__).parent
STORE = HERE / "store"
ROOT = HERE.parent
WRITES = re.compile(r"store\.(write|append|opened|save_\w+)")
ELSEWHERE = {"launch/alone.py"}  # turns the streams of its process into a log, see test_launch.py


def line(*words):
    """A command on a results folder."""
    return lambda root, monkeypatch: main([*words, "--results", str(root)])


def inside(root, monkeypatch):
    return line("inside", store.runs(root)[0].name)(root, monkeypatch)


def findings(root, monkeypatch):
    """In what looks like a checkout."""
    monkeypatch.chdir(root)
    return line("findings")(root, monkeypatch)


def bench(root, monkeypatch):
    """What was measured another day."""
    measured = pd.read_csv(ROOT / "results" / "reference" / "bench" / "xeon.csv")
    rows = measured.astype(object).where(measured.notna(), None).to_dict("records")
    monkeypatch.setattr("harness.bench.cases.comparisons", lambda *_: [type("Comparison", (), {"case": "all"})])
    monkeypatch.setattr("harness.bench.rows.measured", lambda *_: rows)
    monkeypatch.setattr("harness.bench.rows.machine", lambda quick: {})
    return main(["bench", "--only", "startup", "--out", str(root / "bench")])


def crash(root, monkeypatch):
    """A run meets with a mistake of ours: 0 if that was noted."""

    def mistaken(*_):
        raise RuntimeError("ours")

    monkeypatch.setattr("harness.training.finish", mistaken)
    words = [*SMALL, "seed=4"]
    assert line(*words)(root, monkeypatch) == 1
    log = folder(*config.points(words), root) / store.LOG
    return int(os.fsync.broke or "ours" not in log.read_text())


class Dying:
    """A place whose every job is killed."""

    room = 1

    def start(self, points):
        return list(points)

    def ended(self, jobs):
        return dict.fromkeys(jobs, sweep.Death("FAILED", "killed"))

    def stop(self, jobs):
        return {}


def death(root, monkeypatch):
    """A sweep notes that its run was killed: 0 if it did."""
    ((where, _),) = sweep.drive(config.points([*SMALL, "seed=2"]), root, Dying()).items()
    return int(store.load_record(where)["status"] != "FAILED")


HAMMING = ("task=pairwise", "task.norm=hamming", "task.values=2", "task.alpha=2", "length=2,4")
DOINGS = {
    "run": line(*LINE, "seed=3"),
    "death": death,
    "crash": crash,
    "sweep": line("-m", *SMALL, "seed=0,1"),  # both are done
    "study": line("study=decoding", "study.size=smoke"),
    "a network by hand": line("theory", "task=parity", "witness=running_bit", "length=4", "evaluate.examples=8"),
    "theory": line("theory", *HAMMING, "--curve", "task.dim=2,3"),
    "inside": inside,
    "findings": findings,
    "bench": bench,
} | {verb: line(verb) for verb in ("claims", "compare", "plot", "report")}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The results folder of two runs and of one that was killed, and what the documents are made of."""
    root = tmp_path_factory.mktemp("good")
    (root / "docs").mkdir()
    shutil.copy(ROOT / "README.md", root)
    for seed in (0, 1, 2):
        assert line(*SMALL, f"seed={seed}")(root, None) == 0
    (killed,) = {run for run in store.runs(root) if store.load_settings(run)["seed"] == 2}
    store.save_record(killed, store.load_record(killed) | {"status": "RUNNING"})
    return root


class Full:
    """Counts what is written, each at its place in the package, and has no room from one write on."""

    def __init__(self, monkeypatch, after=None):
        self.places, self.after, self.real = [], after, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    @property
    def broke(self):
        """Whether there was no room."""
        return self.after is not None and len(self.places) > self.after

    def __call__(self, handle):
        if stat.S_ISREG(os.fstat(handle).st_mode):
            self.places.append(place(sys._getframe(1)))
        if self.broke:
            raise OSError(28, "No space left on device")
        self.real(handle)


def place(frame):
    """(module, line) of the package that asked the store to write."""
    while Path(frame.f_code.co_filename).parent == STORE or HERE not in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    return Path(frame.f_code.co_filename).relative_to(HERE).as_posix(), frame.f_lineno


def done(doing, root, full=None):
    """(exit code, where the package wrote)."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        writes = Full(monkeypatch, full)
        return doing(root, monkeypatch), writes.places


def contents(root):
    """name -> bytes of all that is no run and no record of a study: those have the time in them."""
    files = [path for path in root.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".tmp"]
    kept = [path for path in files if not {"runs", "studies"} & set(path.relative_to(root).parts)]
    return {path.relative_to(root): path.read_bytes() for path in kept}


def whole(root):
    """Whether every run and every study can be read."""
    for record in map(store.load_study, store.studies([root])):
        for table in record.get("theory", {}):
            store.load_table(root, record, table)
    return "CORRUPT" not in set(store.read([root])["status"])


@pytest.fixture(scope="module")
def clean(good, tmp_path_factory):
    """What is done on a disk that has room -> (where that writes, what is there afterwards)."""

    @cache
    def found(doing):
        root = tmp_path_factory.mktemp("clean")
        shutil.copytree(good, root, dirs_exist_ok=True)
        code, places = done(DOINGS[doing], root)
        assert code == 0
        return places, contents(root)

    return found


def losses(doing, good, places, after, root, share, capsys):
    """For some of the writes, from each of which on there is no room, what is not as it has to be."""
    before = contents(good)
    for number in range(0, len(places), share):
        trial = root / str(number)
        shutil.copytree(good, trial)
        capsys.readouterr()
        code, _ = done(doing, trial, number)
        said, there = capsys.readouterr().err, contents(trial)
        found = {
            "told": code == 1 and "cannot be written" in said and "bytes needed" in said and "Traceback" not in said,
            "kept": before.keys() <= there.keys() and whole(trial),
            "old or new": all(there[name] in (before.get(name), after.get(name)) for name in there),
            "goes on": done(doing, trial)[0] == 0 and contents(trial) == after and whole(trial),
        }
        yield places[number], [what for what, held in found.items() if not held], said


@pytest.mark.torture
@pytest.mark.parametrize("doing", DOINGS)
def test_a_full_disk_is_told_loses_nothing_and_the_same_command_goes_on(
    doing, good, clean, tmp_path, times, capsys, promise
):
    found = list(losses(DOINGS[doing], good, *clean(doing), tmp_path, 10 // times(10), capsys))
    lost = [one for one in found if one[1]]
    assert not lost
    promise(4, len(found), len(found) - len(lost))


@pytest.mark.torture
def test_a_verb_that_writes_in_place_is_caught(good, clean, tmp_path, monkeypatch, capsys, promise):
    places, after = clean("claims")
    monkeypatch.setattr(store, "write", in_place)
    (found,) = losses(DOINGS["claims"], good, places, after, tmp_path, 10, capsys)
    promise(4, twins=1, caught=len(found[1]) > 0)


def test_every_place_of_the_package_that_writes_is_among_these(clean):
    seen = {place for doing in DOINGS for place in clean(doing)[0]}
    for path in HERE.rglob("*.py"):
        module = path.relative_to(HERE).as_posix()
        if path.parent == STORE or module in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and WRITES.fullmatch(ast.unparse(node.func)):
                assert (module, node.lineno) in seen, ast.unparse(node)
