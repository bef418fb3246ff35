"""A stranger's results folder is read safely or refused in words: whatever lies in it, none of it is run.

Each attack is opened in a forked child, under an audit hook that notes whatever a reader of data has no business to
do. A file that is attacked is sealed anew, as a stranger would; one that chance has changed is not.
"""

import gc
import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import time
import warnings
from itertools import count

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.text import Text

from harness import judge, status, store
from harness.__main__ import main
from harness.report import figures
from tests.attacks import ATTACKS, STUDY, sealed, sealed_study
from tests.guard import opened, resumed, wrong
from tests.test_experiment import SMALL
from tests.test_page import HOSTILE, Parsed, poisoned

VERBS = ("status", "compare", "claims", "plot", "report")
CHANCE = ("status", "compare", "status", "claims") * 10 + ("plot", "report")
QUICK = ("status", "compare", "claims") * 6 + ("plot", "report")


def remembering(render):
    """A renderer that draws equal figures once: they are not what a stranger attacks."""
    kept = {}

    def once(figure, format="png"):
        if not hasattr(figure, "shows"):
            lines = [line.get_xydata().tobytes() for line in figure.findobj(Line2D)]
            figure.shows = (*(text.get_text() for text in figure.findobj(Text)), *lines)
        if (figure.shows, format) not in kept:
            kept[figure.shows, format] = render(figure, format)
        return kept[figure.shows, format]

    return once


class Folders:
    """A good folder of two real runs, copies of it, and what each verb takes on it."""

    def __init__(self, root):
        self.root, self.number = root, count()
        good = root / "good"
        for seed in (0, 1):
            assert main([*SMALL, f"seed={seed}", "--results", str(good)]) == 0
        for run in store.runs(good):
            store.remove(run / "accuracy.png")
        runs = [run.name for run in store.runs(good)]
        store.save_study(good, STUDY | {"arms": {"all": runs}})
        store.save_sweep(good, runs)
        self.usual = {verb: self.taken(verb, self.copy()[0]) for verb in VERBS} | {"checkpoint": 0.0}
        resumed(good)

    def drawn(self):
        """Let the pictures of both runs, and of one when the other is damaged, be drawn once."""
        for verb in ("plot", "report"):
            self.taken(verb, self.copy()[0])
            damaged, run = self.copy()
            (run / "run.json").write_text("{")
            self.taken(verb, damaged)

    def taken(self, verb, root):
        began = time.process_time()
        assert main([verb, "--results", str(root)]) == 0
        return time.process_time() - began

    def copy(self):
        """A results folder and the run in it that is attacked."""
        root = self.root / str(next(self.number)) / "results"
        shutil.copytree(self.root / "good", root)
        return root, store.runs(root)[-1]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(os, "fsync", lambda file: None)  # these need not survive a power cut
        made = Folders(tmp_path_factory.mktemp("stranger"))
        render = remembering(figures.render)
        patch.setattr(figures, "render", render)
        patch.setattr(judge, "render", render)
        made.drawn()
        gc.freeze()  # what is never collected is never copied by a child
        yield made
        gc.unfreeze()


def openings(name, number, whole):
    """The verbs that open an attack: all of them, or in turn."""
    verbs = VERBS if whole else [QUICK[number % len(QUICK)]]
    return [*verbs, *(["checkpoint"] if "checkpoint" in name else [])]


def faults(folders, change, verb, twin=None):
    """What goes wrong when a verb opens a folder that was changed."""
    root, run = folders.copy()
    change(root, run)
    seen = opened(verb, root, twin)
    bad = list(wrong(seen, folders.usual[verb]))
    if any((folder / "EXECUTED").exists() for folder in (root, root.parent)):
        bad.append("it ran")
    shutil.rmtree(root.parent)
    return bad


def attacked(attack):
    """An attack by somebody who seals what he changes."""

    def change(root, run):
        attack(root, run)
        for folder in (*root.glob("runs/*"), *root.glob("runs/*/checkpoint/*")):
            sealed(folder)

    return change


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_no_attack_runs_anything_or_ends_in_a_mistake_of_ours(folders, times, promise):
    found = {}
    whole = times(10) == 10
    some = list(ATTACKS.items())[:: 1 if whole else 3]
    for number, (name, attack) in enumerate(some):
        for verb in openings(name, number, whole):
            if bad := faults(folders, attacked(attack), verb):
                found.setdefault(name, []).append((verb, *bad[:3]))
    assert not found, "\n".join(f"{name}: {bad}" for name, bad in found.items())
    promise(10, len(some), len(some) - len(found))


def unpickles(folder):
    """A reader that a researcher in a hurry would write."""
    data = (folder / "items.npz").read_bytes()
    return [] if data.startswith(b"PK") else pickle.loads(data) and []


def loads_objects(folder):
    """The same, by numpy."""
    return np.load(folder / "items.npz", allow_pickle=True) is None or []


@pytest.mark.torture
@pytest.mark.parametrize("reader", [unpickles, loads_objects])
def test_a_reader_that_unpickles_is_caught_by_the_same_guard(reader, folders, promise):
    bad = faults(
        folders,
        attacked(ATTACKS["items: a pickle"]),
        "compare",
        twin=lambda: setattr(store.frames, "to_rows", lambda folder, _: reader(folder)),
    )
    assert "it ran" in bad
    told = [one.split()[0] for one in bad]
    promise(10, twins=1, caught={"pickle.find_class", "open", "os.system"} <= set(told))


@pytest.mark.parametrize(
    ("event", "does"),
    [
        ("exec", lambda root: exec("1")),
        ("compile", lambda root: eval("1")),
        ("import", lambda root: __import__("this")),
        ("open", lambda root: (root / "runs" / "x").write_text("")),
        ("open", lambda root: (root.parent / "report.html").write_text("")),
        ("open", lambda root: os.close(os.open(root / "x", os.O_CREAT | os.O_RDONLY))),
        ("os.rename", lambda root: (root / "figures").rename(root / "runs" / "x")),
        ("os.remove", lambda root: next(root.glob("sweeps/*")).unlink()),
        ("subprocess.Popen", lambda root: subprocess.run(["true"], check=True)),
        ("os.posix_spawn", lambda root: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)),
        ("socket.connect", lambda root: socket.socket().connect_ex(("127.0.0.1", 9))),
    ],
)
def test_whatever_a_reader_must_not_do_is_seen(event, does, folders):
    def twin():
        setattr(status, "text", lambda root: (root / "figures").mkdir() or does(root))  # noqa: B010

    assert event in [one.split()[0] for one in faults(folders, lambda root, run: None, "status", twin)]


def mutation(number):
    """A change by chance of one file, or of two that are swapped."""
    draw = np.random.default_rng([10, number])

    def change(root, run):
        files = sorted(path for path in root.rglob("*") if path.is_file() and "checkpoint" not in path.parts)
        if draw.random() < 0.1:
            files = sorted(path for path in root.rglob("checkpoint/*/*") if path.is_file())
        one, other = (files[place] for place in draw.choice(len(files), 2, replace=False))
        kept, place = bytearray(one.read_bytes()), int(draw.integers(max(1, one.stat().st_size)))
        kind = draw.integers(5)
        if kind == 0 and kept:
            kept[place] ^= 1 << int(draw.integers(8))
        elif kind == 1:
            del kept[place:]
        elif kind == 2:
            kept[place : place + 4096] = bytes(len(kept[place : place + 4096]))
        elif kind == 3:
            kept.insert(place, int(draw.integers(256)))
        else:
            kept = bytearray(other.read_bytes())
            other.write_bytes(one.read_bytes())
        one.write_bytes(kept)

    return change


@pytest.mark.torture
def test_no_file_that_chance_has_changed_ends_in_a_mistake_of_ours(folders, times, promise):
    found = {}
    for number in range(times(1000)):
        change = mutation(number)
        if number % 2:  # by somebody who seals it
            change = attacked(change)
        if bad := faults(folders, change, CHANCE[number % len(CHANCE)]):
            found[number] = bad
    assert not found, "\n".join(f"{number}: {CHANCE[number % len(CHANCE)]} {bad}" for number, bad in found.items())
    promise(10, times(1000), times(1000) - len(found))


NAMES = {"run", "name", "recipe", "status"}  # that are refused, or are words of ours, when they say anything else


MARKUP = "".join(filter(str.isprintable, HOSTILE))  # a word that steers a terminal is refused


def poison(value, fields, key=""):
    """The same record, and in place of each of its words one that is hostile and has a number."""
    if isinstance(value, dict):
        return {name: poison(part, fields, name) for name, part in value.items()}
    if isinstance(value, list):
        return [poison(part, fields) for part in value]
    if not isinstance(value, str) or key in NAMES:
        return value
    fields.append(f"word{len(fields)}:{MARKUP}")
    return fields[-1]


def poisoned_folder(folders):
    """A folder whose every word is hostile, and its words."""
    root, run = folders.copy()
    fields = []
    told = json.loads((run / "run.json").read_text()) | {"status": "FAILED", "reason": "x"}
    told["fingerprint"]["more"] = {MARKUP: ["x", "y"]}
    (run / "run.json").write_text(json.dumps(poison(told, fields)))
    (run / "config.yaml").write_text(store.to_yaml(poison(store.from_yaml(run / "config.yaml"), fields)))
    (record,) = (root / "studies").iterdir()
    told = json.loads(record.read_text()) | poison({"words": ["x", "y"]}, fields)
    record.write_text(store.to_json(sealed_study(told)))
    sealed(run)
    return root, fields


@pytest.mark.torture
def test_every_word_of_a_hostile_record_is_text_of_the_page(folders, promise):
    root, fields = poisoned_folder(folders)
    seen = opened("report", root)
    assert list(wrong(seen, folders.usual["report"])) == []
    text = (root / "report.html").read_text(encoding="utf-8")
    parsed = Parsed(text)
    assert parsed.faults == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    starts = [field.partition(" ")[0] for field in fields]  # before a line of yaml may end
    there = [word for word in starts if word in parsed.text or word.replace('"', '\\"') in parsed.text]
    raw = [word for word in there if word in text or word.replace('"', '\\"') in text]
    assert len(there) >= 20
    promise(11, len(there), len(there) - len(raw))


@pytest.mark.torture
def test_a_page_that_does_not_escape_is_caught(promise):
    promise(11, twins=1, caught=len(Parsed(poisoned("harmless").replace("harmless", HOSTILE)).faults) > 0)
