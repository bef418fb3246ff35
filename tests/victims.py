"""Commands of the harness: a server that has imported torch forks one for each request and may disturb it by a signal.

python -m tests.victims     reads a request a line from stdin, as JSON, and answers each with a line
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Ended(NamedTuple):
    """What came of a process."""

    code: int  # negative: the signal that killed it
    seconds: float  # since the signal, or since it began
    printed: str
    said: str  # all of it, what is printed first
    owners: list[int]  # who held claims in the results folder just before the signal


class Victims:
    """The server's other end."""

    def __init__(self):
        words = [sys.executable, "-W", "ignore", "-m", "tests.victims"]
        self.server = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(
        self, line, results=None, number=None, after=0.0, until=None, group=False, twin=None, count=1, folder=ROOT
    ):
        """How ``count`` processes of this command line end that start at once in a folder.

        The first, or with ``group`` whatever it started too, is sent the signal ``number`` after so many seconds,
        counted from when ``until`` matches a file in the results folder.
        """
        request = {"line": line, "results": results and str(results), "folder": str(folder), "number": number}
        request |= {"after": after, "until": until, "group": group, "twin": twin, "count": count}
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return [Ended(*each) for each in json.loads(self.server.stdout.readline())]

    def close(self):
        """The server ends when there is nobody to read from."""
        with self.server:
            self.server.stdin.close()


def forgets_its_place(monkeypatch):
    """A source that counts its draws from the start of the process."""
    from harness.draw import Source

    training, drawn = Source.training, []

    def counting(self, update, *more):
        drawn.append(update)
        return training(self, len(drawn), *more)

    monkeypatch(Source, "training", counting)


def forgets_its_moments(monkeypatch):
    """An optimizer that begins anew."""
    import torch

    monkeypatch(torch.optim.AdamW, "load_state_dict", lambda self, state: None)


def hears_nothing(monkeypatch):
    """A sweep that does not look whether a signal came."""
    from harness import signals

    monkeypatch(signals, "check", lambda: None)


def claims_nothing(monkeypatch):
    """A sweep whose runs are its own as far as it knows."""
    from harness import store
    from harness.launch import local

    monkeypatch(store, "owner", lambda folder: None)
    monkeypatch(local, "_child", claimless)


def claimless(*words):
    """What a process of such a sweep does: not the sweep's own memory, so the twin goes with it."""
    from contextlib import nullcontext

    from harness import store
    from harness.launch import local

    store.claim = nullcontext
    local._child(*words)


FORGETFUL = ("forgets_its_place", "forgets_its_moments")
TWINS = {twin.__name__: twin for twin in (forgets_its_place, forgets_its_moments, hears_nothing, claims_nothing)}


def serve():
    """Answer requests until there are no more."""
    import torch

    from harness import config
    from harness.launch import local

    for name in local.WARM:
        importlib.import_module(name)

    torch.set_num_threads(1)
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2)
    torch.optim.AdamW([weight], fused=True).step()  # imports what it needs
    with tempfile.TemporaryDirectory() as folder:
        for request in map(json.loads, sys.stdin):
            if request["results"]:
                settings = [word for word in request["line"] if word != "-m"]
                config.points(settings, sweep=True)  # what is composed is kept
                request["line"] += ["--results", request["results"]]
            print(json.dumps(disturbed(request, Path(folder))), flush=True)


def disturbed(request, folder):
    """Fork, let go all at once, send the first its signal, and see how each ends."""
    waiting, starting = os.pipe()
    paths = [(folder / f"{number}.out", folder / f"{number}.err") for number in range(request["count"])]
    pids = [child(request, waiting, starting, *path) for path in paths]
    began = time.perf_counter()
    os.close(starting)
    os.close(waiting)
    owners = []
    if request["number"] is not None:
        results = Path(request["results"])
        while request["until"] and not any(results.glob(request["until"])) and running(pids[0]):
            time.sleep(0.002)
        waited = time.perf_counter() if request["until"] else began
        while time.perf_counter() - waited < request["after"] and running(pids[0]):
            time.sleep(0.002)
        owners = [json.loads(path.read_text())["pid"] for path in results.glob("runs/*/claim/*.json")]
        began = time.perf_counter()
        (os.killpg if request["group"] else os.kill)(pids[0], request["number"])
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    seconds = time.perf_counter() - began
    told = [(printed.read_text(), errors.read_text()) for printed, errors in paths]
    ended = zip(codes, told, strict=True)
    return [(code, seconds, printed, printed + errors, owners) for code, (printed, errors) in ended]


def running(pid):
    """Whether a child is, without taking its status."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def child(request, waiting, starting, printed, errors):
    """Fork a process that runs the command line and never returns; its pid."""
    if pid := os.fork():
        return pid
    os.close(starting)
    os.setsid()
    code = 99
    try:
        for stream, path in ((1, printed), (2, errors)):
            with path.open("w") as file:
                os.dup2(file.fileno(), stream)
        os.chdir(request["folder"])
        os.read(waiting, 1)  # until all have closed the other end
        if request["twin"]:
            TWINS[request["twin"]](setattr)
        from harness.__main__ import main

        code = main(request["line"])
    except SystemExit as left:  # --help
        code = left.code or 0
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
