"""What may lie in a stranger's results folder: name -> what it does to a good one and to one of its runs."""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np

from harness import store
from harness.store.manifest import FILES, MANIFEST
from harness.store.studies import sealed as sealed_study
from tests.test_checkpoints import FILES as PARTS
from tests.test_page import HOSTILE

STUDY = {"study": "pairwise_conjecture", "size": "smoke", "words": ["seed=1"], "theory": {}}


class Call:
    """A pickle of it calls something as it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def loader(root):
    """What opens a file for writing and starts a program."""
    return [Call(open, str(root / "EXECUTED"), "w"), Call(os.system, f"touch '{root / 'EXECUTED'}'")]


def pickled(root, run):
    return pickle.dumps(loader(root))


def object_array(root, run):
    buffer = io.BytesIO()
    np.save(buffer, np.array(loader(root), dtype=object), allow_pickle=True)
    return buffer.getvalue()


def object_arrays(root, run):
    with np.load(run / "items.npz") as kept:
        names = kept.files
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.array(loader(root), dtype=object) for name in names})
    return buffer.getvalue()


def bomb(root, run):
    """Half a gigabyte of zeros under each name, half a megabyte on the disk."""
    with np.load(run / "items.npz") as kept:
        names = kept.files
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{names[0]}.npy", "w", force_zip64=True) as file,
    ):
        file.write(
            b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (536870912,), }".ljust(127)
        )
        file.write(b"\n")
        for _ in range(512):
            file.write(bytes(2**20))
    return buffer.getvalue()


def lying_bomb(root, run):
    """The same, and its directory says that it is small."""
    return bomb(root, run).replace((2**29 + 128).to_bytes(4, "little"), (99).to_bytes(4, "little"))


def shaped(shape):
    """Items whose header promises an array of this shape."""

    def data(root, run):
        with np.load(run / "items.npz") as kept:
            names = kept.files
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in names:
                head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
                archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00v\x00" + head)
        return buffer.getvalue()

    return data


def instead(name, data):
    """A file that holds something else."""

    def attack(root, run):
        path = root / name if "/" in name else run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        told = data(root, run) if callable(data) else data
        path.unlink(missing_ok=True)
        path.write_bytes(told.encode() if isinstance(told, str) else told)

    return attack


def made(name, make):
    """Something that is no file in place of one."""

    def attack(root, run):
        (path,) = [run / name] if "checkpoint" not in name else sorted(run.glob(name))[-1:]
        path.unlink(missing_ok=True)
        make(path)

    return attack


def record(**changes):
    """A record that says something else."""

    def data(root, run):
        return json.dumps(json.loads((run / "run.json").read_text()) | changes)

    return instead("run.json", data)


def settings(text):
    """More lines of settings."""
    return instead("config.yaml", lambda root, run: (run / "config.yaml").read_text() + text)


def study(**changes):
    """A study's record that says something else, or with None no longer says it."""

    def attack(root, run):
        told = STUDY | {"arms": {"all": [run.name]}} | changes
        told = {key: value for key, value in told.items() if value is not None}
        name = Path(f"{told['study']}-{told['size']}.json").name
        (root / "studies" / name).write_text(store.to_json(sealed_study(told)))

    return attack


def cells(column, value):
    """Scores with this in a column of every row."""

    def data(root, run):
        head, *lines = [line.split(",") for line in (run / "scores.csv").read_text().splitlines()]
        where = head.index(column)
        return "".join(",".join(line) + "\n" for line in [head, *([*c[:where], value, *c[where + 1 :]] for c in lines)])

    return instead("scores.csv", data)


def renamed(name, **changes):
    """A run's folder of another name."""

    def attack(root, run):
        record(**changes)(root, run)
        run.rename(run.with_name(name))

    return attack


def linked(root, run):
    run.rename(root.parent / "elsewhere")
    run.symlink_to(root.parent / "elsewhere")


def owned(**owner):
    """A claim by somebody."""
    return lambda root, run: instead(f"runs/{run.name}/claim/1-1.json", json.dumps(owner))(root, run)


def planted(*names):
    """Code beside the data."""

    def attack(root, run):
        text = f"import os\nos.system(\"touch '{root / 'EXECUTED'}'\")\n"
        for name in names:
            for folder in (root, run, root / "studies"):
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(text)

    return attack


def outward(name):
    """A link out of the folder where a verb writes."""

    def attack(root, run):
        (root.parent / "theirs").mkdir(exist_ok=True)
        (root / name).symlink_to(root.parent / "theirs", target_is_directory=True)

    return attack


def temporary(root, run):
    """Links under the names that the next processes write first."""
    for pid in range(os.getpid(), os.getpid() + 3000):
        for name in ("report.html", "compare.md", "claims.md"):
            (root / f".{name}.{pid}.tmp").symlink_to(root.parent / "theirs")


def endless(path):
    path.symlink_to("/dev/zero")


def sized(path):
    """A file that is larger than all memory, and takes no room."""
    with path.open("wb") as file:
        file.truncate(2**40)


ALIASES = "a: &a [lol, lol]\n" + "".join(f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True))  # fmt: skip  # noqa: E501
STEERING = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\r"
SCRIPT = "<script>alert(1)<" + "\\" + "script><img src=x onerror=alert(1)>"
TAGS = "!!python/object/apply:os.system [touch EXECUTED]"
WIDE = ",".join(["a"] * 10**6) + "\n" + ",".join(["1"] * 10**6) + "\n"
CHANGED = {"pipe": os.mkfifo, "endless": endless, "folder": Path.mkdir, "terabyte": sized}
ATTACKS = {
    "items: a pickle": instead("items.npz", pickled),
    "items: an array of objects": instead("items.npz", object_array),
    "items: arrays of objects": instead("items.npz", object_arrays),
    "items: a zip bomb": instead("items.npz", bomb),
    "items: a zip bomb that lies": instead("items.npz", lying_bomb),
    "items: a huge shape": instead("items.npz", shaped("(10**30,)")),
    "items: a shape of code": instead("items.npz", shaped("(__import__('os').system('touch EXECUTED'),)")),
    "record: a pickle": instead("run.json", pickled),
    "record: a target": record(_target_="os.system", _args_=["touch EXECUTED"], status={"_target_": "antigravity.x"}),
    "record: 1e400": instead("run.json", '{"run": "a", "loss": 1e400}'),
    "record: NaN": instead("run.json", '{"run": "a", "loss": NaN}'),
    "record: a huge number": record(loss=10**4000, seed=10**4000),
    "record: more digits than are read": instead("run.json", '{"run": ' + "9" * 60_000 + "}"),
    "record: depth 100,000": instead("run.json", '{"a":' * 100_000),
    "record: deep and whole": instead("run.json", '{"a":' + "[" * 30_000 + "]" * 30_000 + "}"),
    "record: not UTF-8": instead("run.json", b'{"run": "\xff\xfe"}'),
    "record: NUL": instead("run.json", b'{"run": "a\x00"}\x00'),
    "record: another run": record(run="../../etc/passwd"),
    "record: a steering name": record(run=STEERING),
    "record: a steering reason": record(status="FAILED", reason=STEERING),
    "record: a script": record(status="FAILED", reason=HOSTILE, fingerprint={HOSTILE: HOSTILE}, recipe=HOSTILE),
    "record: a surrogate": record(status="FAILED", reason="\ud800", recipe="\ud800"),
    "record: formulas": record(recipe="$\\frac{1}{", reason="$x^{y$", status="FAILED"),
    "record: lists for words": record(recipe=[1], status=["DONE"], reason={"a": [1]}, loss="x", fingerprint=[1]),
    "record: a mapping for each": record(recipe={"a": 1}, loss={}, loss_floor=[1], versions={"task": [1], "x": {}}),
    "record: versions are attributes": record(versions={"__class__": "os.system", "__dict__": 3}),
    "record: versions are none": record(versions=[1, 2]),
    "record: columns of a score": record(versions={"loop": 10**400}, accuracy="x", steps=[1]),
    "record: a format": record(format=STEERING),
    "record: a link to /etc/passwd": made("run.json", lambda path: path.symlink_to("/etc/passwd")),
    "settings: a target": settings("_target_: os.system\n_args_: [touch EXECUTED]\n"),
    "settings: the environment": settings("home: ${oc.env:HOME}\nmore: ${oc.decode:${oc.env:PATH}}\n"),
    "settings: a tag": settings(f"x: {TAGS}\n"),
    "settings: a module's tag": settings("x: !!python/module:antigravity\n"),
    "settings: an object's tag": settings("x: !!python/object/new:os.system [touch EXECUTED]\n"),
    "settings: a bomb": instead("config.yaml", ALIASES),
    "settings: a cycle": settings("x: &x [*x]\n"),
    "settings: a merged key": settings("x: &x {a: 1}\ny:\n  <<: *x\n"),
    "settings: depth 100,000": instead("config.yaml", "a: " + "[" * 60_000),
    "settings: depth of blocks": instead("config.yaml", "- " * 30_000),
    "settings: keys that are no words": settings("1: 2\nnull: 3\ntrue: 4\n? [a, b]\n: 5\n"),
    "settings: hostile keys": settings(f'"{SCRIPT.translate({92: None})}": 1\n"\\e[31m": 2\n"a.b.c": 3\n"": 4\n'),
    "settings: columns of a score": settings("accuracy: x\nlength: [1]\nstatus: y\nsplit: {a: b}\nrun: z\n"),
    "settings: a seed that is a list": instead(
        "config.yaml",
        lambda root, run: re.sub(r"(?m)^seed: .*", "seed: [1, 2]", (run / "config.yaml").read_text()),
    ),
    "settings: a huge number": settings(f"x: {'9' * 4000}\ny: 1e308\nz: 0x{'f' * 4000}\n"),
    "settings: not UTF-8": instead("config.yaml", b"a: \xff\n"),
    "settings: NUL": instead("config.yaml", b"a: \x00\n"),
    "scores: a million columns": instead("scores.csv", WIDE),
    "scores: a name upwards": cells("attention", "../../etc"),
    "scores: another run": cells("run", "other"),
    "scores: infinite": cells("accuracy", "1e400"),
    "scores: words for numbers": cells("accuracy", "<script>"),
    "scores: huge numbers": cells("accuracy", "9" * 4000),
    "scores: a huge length": cells("length", "9" * 30),
    "scores: far more examples": cells("examples", "9" * 15),
    "scores: examples below zero": cells("examples", "-8"),
    "scores: steering words": cells("split", STEERING.replace("\r", "")),
    "scores: a formula": cells("split", "=cmd|' /C calc'!A0"),
    "scores: cells without end": instead("scores.csv", "a,b\n" + '"' + "x" * 10**6),
    "scores: a million rows": instead("scores.csv", "a\n" + "1\n" * 10**6),
    "scores: not UTF-8": instead("scores.csv", b"run\n\xff\n"),
    "scores: NUL": instead("scores.csv", b"run,\x00\n\x00,1\n"),
    "curve: words": instead("curve.csv", f"update,loss\n{SCRIPT},=1+1\n"),
    "curve: a million columns": instead("curve.csv", WIDE),
    "positions: words": instead("positions.csv", f"run\n{SCRIPT}\n"),
    "manifest: a pickle": instead("manifest.json", pickled),
    "manifest: other files": instead("manifest.json", '{"files": {"/etc/passwd": ["x"]}, "seal": "x"}'),
    "manifest: no mapping": instead("manifest.json", '{"files": [1], "seal": 3}'),
    "manifest: depth 100,000": instead("manifest.json", '{"files":' * 100_000),
    "checkpoint: tensors are a pickle": lambda root, run: instead(
        f"runs/{run.name}/checkpoint/{max(p.name for p in (run / 'checkpoint').iterdir())}/tensors.safetensors", pickled
    )(root, run),
    "folder: a steering name": renamed(STEERING, status="FAILED", reason="x"),
    "folder: a steering name of a damaged one": renamed(STEERING, run=3),
    "folder: a script for a name": renamed(SCRIPT, status="FAILED"),
    "folder: a name that is no text": renamed(os.fsdecode(b"\xff\xfe"), status="FAILED", reason="x"),
    "folder: a line break in its name": renamed("a\nharness: b"),
    "folder: a link": linked,
    "folder: a link to itself": lambda root, run: (root / "runs" / "loop").symlink_to(root / "runs"),
    "folder: code beside the data": planted(
        "tasks.py",
        "harness.py",
        "sitecustomize.py",
        "conftest.py",
        "numpy.py",
        "planted.py",
        "pairwise.py",
        "tasks/__init__.py",
        "usercustomize.py",
        "matplotlibrc",
    ),
    "figures: a link elsewhere": outward("figures"),
    "report: a link elsewhere": outward("report.html"),
    "report: a pipe": lambda root, run: os.mkfifo(root / "report.html"),
    "report: links where it is written first": temporary,
    "claim: steering words": owned(host=STEERING, pid=STEERING, since=STEERING),
    "claim: no number": owned(host=os.uname().nodename, pid=10**30, started=[]),
    "claim: a pid upwards": owned(host=os.uname().nodename, pid="../1", started=1),
    "claim: a file": lambda root, run: (run / "claim").write_text("x"),
    "claim: a pipe": lambda root, run: (run / "claim").mkdir() or os.mkfifo(run / "claim" / "1-1.json"),
    "sweep: names upwards": instead("sweeps/a.json", '{"runs": ["../../etc/passwd"]}'),
    "sweep: a steering name": instead(f"sweeps/{STEERING}.json", '{"runs": ["a"]}'),
    "sweep: no text": instead("sweeps/b.json", b'{"runs": ["\xff"]}'),
    "sweep: depth 100,000": instead("sweeps/c.json", '{"runs":' + "[" * 100_000),
    "sweep: a pipe": lambda root, run: os.mkfifo(root / "sweeps" / "d.json"),
    "sweep: a link to nowhere": lambda root, run: (root / "sweeps" / "e.json").symlink_to("/nowhere"),
    "sweep: a file": lambda root, run: shutil.rmtree(root / "sweeps") or (root / "sweeps").write_text("x"),
    "study: a name upwards": study(study="../../etc/passwd"),
    "study: attributes": study(study="__class__", theory={"__init__": 1}, arms={"__dict__": ["__class__"]}),
    "study: tables upwards": study(theory={"../../../../../../etc/passwd": 1, "a/../../x": 2}),
    "study: tables are a number": study(theory=3),
    "study: tables with NUL": study(theory={"\x00": 1}),
    "study: a table's name is too long": study(theory={"x" * 5000: 1}),
    "study: no words": study(words=None),
    "study: words that are none": study(words=[1, {"a": 2}]),
    "study: steering words": study(words=[STEERING, HOSTILE]),
    "study: no such size": study(size="x"),
    "study: arms of text": study(arms={"all": "abc"}),
    "study: depth 100,000": instead("studies/x.json", '{"arms":' + "[" * 100_000),
    "study: a steering name": instead(f"studies/{STEERING}.json", "{"),
    "manifest: as deep as can be read": instead(MANIFEST, '{"seal":"x","files":' + "[" * 950 + "]" * 950 + "}"),
    "study: as deep as can be read": instead(
        "studies/pairwise_conjecture-smoke.json", '{"arms":{},"seal":"x","words":' + "[" * 950 + "]" * 950 + "}"
    ),
    "study: a pipe": lambda root, run: os.mkfifo(root / "studies" / "x.json"),
    "study: a hundred times the same run": study(arms={f"a{n}": ["x"] * 100 for n in range(100)}),
}
ATTACKS |= {
    f"{name}: {what}": made(name, make)
    for name in (*FILES, MANIFEST, *(f"checkpoint/*/{part}" for part in PARTS))
    for what, make in CHANGED.items()
}


def sealed(folder):
    """Let a manifest vouch for what stands there now, as whoever changes a file on purpose would."""
    path = folder / "manifest.json"
    try:
        found = json.loads(path.read_bytes()) if path.is_file() and path.stat().st_size < 2**20 else {}
        listed = found.get("files", found)
        for name in [name for name in listed if (folder / name).is_file() and (folder / name).stat().st_size < 2**26]:
            seal = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            listed[name] = [seal] if isinstance(listed[name], list) else seal
    except (ValueError, RecursionError, AttributeError, TypeError):
        return
    if "seal" in found:
        found["seal"] = hashlib.sha256(store.to_json(listed).encode()).hexdigest()
    if found:
        path.write_text(store.to_json(found))
