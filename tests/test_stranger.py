"""A stranger's results folder is read safely or refused in words: whatever lies in it, none of it is run.

Each attack is opened in a forked child, under an audit hook that notes whatever a reader of data has no business to
do. A file that is attacked is sealed anew, as a stranger would; one that chance has changed is not.
"""

import collections
import dataclasses
import gc
import hashlib
import io
import json
import os
import pickle
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
import zipfile
from itertools import count
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.text import Text

from harness import judge, status, store
from harness.__main__ import main
from harness.report import figures, page
from tests.test_experiment import SMALL
from tests.test_page import HOSTILE, Parsed, poisoned

VERBS = ("status", "compare", "claims", "plot", "report")
CHANCE = ("status", "compare", "status", "claims") * 10 + ("plot", "report")
QUICK = ("status", "compare", "claims") * 6 + ("plot", "report")
SECONDS, MEGABYTES, PATIENCE = 2, 300, 20  # of CPU, beyond what the good folder takes; of memory; of waiting
STUDY = {"study": "pairwise_conjecture", "size": "smoke", "words": ["seed=1"], "theory": {}}
FILES = ("run.json", "config.yaml", "scores.csv", "items.npz", "manifest.json", "curve.csv", "positions.csv")
PARTS = ("tensors.safetensors", "facts.json", "curve.csv", "manifest.json")

# ---------------------------------------------------------------------------------------------------- the guard

FORBIDDEN = re.compile(
    r"subprocess\.|os\.(system|exec|posix_spawn|spawn|fork|startfile)|pty\.|socket\.(connect|bind|send|getaddrinfo)|"
    r"pickle\.find_class|webbrowser\.|ctypes\.dlopen|urllib\."
)
CHANGES = re.compile(r"os\.(rename|remove|mkdir|rmdir|link|symlink|truncate|chmod|chown|setxattr)|shutil\.")
WRITTEN = re.compile(r"|figures(/.*)?|\.?(compare|claims)\.[\w.]*|\.?report\.html[\w.]*")  # below a results folder
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TRUSTED = {  # what makes code of text that is ours: named tuples, data classes, the template of the page
    collections.namedtuple.__code__.co_filename: "<string>",
    dataclasses.make_dataclass.__code__.co_filename: "<string>",
    jinja2.Environment.__init__.__code__.co_filename: str(Path(page.__file__).with_name("page.html")),
}
NAMED = ("antigravity", "this", "planted")  # modules that only the attacks name


class Guard:
    """An audit hook; what it saw is in ``breaches``."""

    def __init__(self, root):
        self.root, self.breaches = os.path.realpath(root), []
        self.known = {name.partition(".")[0] for name in (*sys.modules, *sys.stdlib_module_names)} - set(NAMED)
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        bad = {"exec": self.code, "compile": self.code, "import": self.module, "open": self.opening}.get(event)
        if FORBIDDEN.match(event) or (bad and bad(*arguments)) or (CHANGES.match(event) and self.changing(arguments)):
            self.breaches.append(f"{event} {arguments!r}"[:300])

    def code(self, source, file=None):
        file, caller = str(file or getattr(source, "co_filename", "")), sys._getframe(2).f_code.co_filename
        imported = caller.startswith("<frozen importlib") and not self.below(os.path.realpath(file))
        return not (imported or (file or "<string>") == TRUSTED.get(caller))

    def module(self, name, file, *_):
        return name.partition(".")[0] not in self.known or self.below(os.path.realpath(str(file or "-")))

    def opening(self, path, mode, flags):
        writes = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & WRITING)
        return writes and not isinstance(path, int) and not self.own(os.path.realpath(os.fsdecode(path)))

    def changing(self, arguments):
        paths = [Path(os.fsdecode(path)) for path in arguments if isinstance(path, str | bytes | Path)]
        return not all(self.own(os.path.join(os.path.realpath(path.parent), path.name)) for path in paths)  # noqa: PTH118

    def below(self, path):
        return path.startswith(self.root + os.sep)

    def own(self, path):
        return path == self.root or (self.below(path) and WRITTEN.fullmatch(os.path.relpath(path, self.root)))


class Seen(NamedTuple):
    """How a command ended, and what it did meanwhile."""

    code: int  # negative: the signal that killed it
    seconds: float
    megabytes: float
    said: str
    breaches: list


def opened(verb, root, twin=None):
    """What a forked child sees that runs a verb on a folder, with the folder as its own."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking amid threads
        pid = os.fork()
    if not pid:
        inside(verb, root, twin, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        if not select.select([pipe], [], [], PATIENCE)[0]:
            os.kill(pid, signal.SIGKILL)
        told = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Seen(code, *json.loads(told)) if told else Seen(code, PATIENCE, 0, "", [])


def inside(verb, root, twin, pipe):
    code, before = 99, resource.getrusage(resource.RUSAGE_SELF)
    try:
        os.chdir(root)
        said = open(os.memfd_create("said"), "w+", encoding="utf-8", buffering=1)  # noqa: PTH123, SIM115
        sys.stdout, sys.stderr = said, said
        warnings.simplefilter("default")
        limit(resource.RLIMIT_CPU, PATIENCE)
        limit(resource.RLIMIT_DATA, data() + 2**30)
        if twin:
            twin()
        guard = Guard(root)
        try:
            code = resumed(root) if verb == "checkpoint" else main([verb, "--results", str(root)])
        except BaseException:
            said.write(ascii(traceback.format_exc()))
        after, breaches = resource.getrusage(resource.RUSAGE_SELF), list(guard.breaches)
        said.seek(0)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        told = [seconds, (after.ru_maxrss - before.ru_maxrss) / 1024, said.read(), breaches]
        with os.fdopen(pipe, "w") as file:
            json.dump(told, file)
    finally:
        os._exit(code)


def limit(kind, most):
    resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


def data():
    """Bytes that this process may write to."""
    return int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


def resumed(root):
    """No verb reads a stranger's checkpoints but `run`, which reads them so."""
    try:
        for run in store.runs(Path(root)):
            store.load_checkpoint(run)
    except OSError as error:
        print(store.printable(error))
        return 1
    return 0


def wrong(seen, usual=0.0):
    """What is not as promised."""
    if seen.code not in (0, 1, 2):
        yield f"exit code {seen.code}"
    if "Traceback" in seen.said or "mistake of ours" in seen.said:
        yield f"an error nobody foresaw: {seen.said[-300:]!r}"
    if bad := {letter for letter in seen.said if not letter.isprintable() and letter != "\n"}:
        yield f"steers the terminal: {bad}"
    if seen.seconds > usual + SECONDS:
        yield f"{seen.seconds:.1f} s"
    if seen.megabytes > MEGABYTES:
        yield f"{seen.megabytes:.0f} MB"
    yield from seen.breaches


# ---------------------------------------------------------------------------------------------------- the attacks


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
        path.unlink()
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
        (root / "studies" / "pairwise_conjecture-smoke.json").write_text(json.dumps(told))

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
    "study: a pipe": lambda root, run: os.mkfifo(root / "studies" / "x.json"),
    "study: a hundred times the same run": study(arms={f"a{n}": ["x"] * 100 for n in range(100)}),
}
ATTACKS |= {
    f"{name}: {what}": made(name, make)
    for name in (*FILES, *(f"checkpoint/*/{part}" for part in PARTS))
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


# ---------------------------------------------------------------------------------------------------- the folders


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
        for verb in ("plot", "report"):  # of one run, when the other is damaged
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
        render = remembering(figures.render)
        patch.setattr(figures, "render", render)
        patch.setattr(judge, "render", render)
        made = Folders(tmp_path_factory.mktemp("stranger"))
        gc.freeze()  # what is never collected is never copied by a child
        yield made
        gc.unfreeze()


# ---------------------------------------------------------------------------------------------------- the laws


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
        twin=lambda: setattr(store.frames, "load_rows", reader),
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
    words = {"words": ["x", "y"]}
    record.write_text(json.dumps(json.loads(record.read_text()) | poison(words, fields)))
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
