"""A verb opened in a forked child under an audit hook, which notes whatever a reader of data has no business to do."""

import collections
import dataclasses
import json
import os
import re
import resource
import select
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import jinja2

from harness import store
from harness.__main__ import main
from harness.nearest import printable
from harness.report import page

SECONDS, MEGABYTES, PATIENCE = 2, 300, 20  # of CPU, beyond what the good folder takes; of memory; of waiting

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
        print(printable(error))
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
