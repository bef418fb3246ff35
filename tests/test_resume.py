"""Whatever interrupts a run, the same command brings it to its end with the same bits; and nobody works on it twice."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from threading import Barrier, Thread

import pytest
import torch

from harness import config, draw, experiment, rows, signals, store, train, training
from harness.__main__ import main
from harness.nearest import Refusal
from tests.test_experiment import SMALL
from tests.test_full_disk import Full
from tests.victims import FORGETFUL

MIDDLING = [
    *("task=pairwise", "task.alpha=6", "task.values=16", "model.width=16", "model.heads=2", "model.layers=1"),
    *("model.context=64", "train.lengths=[4,8]", "train.updates=240", "train.batch=16", "train.warmup=10"),
    *("train.stop_at=2", "train.validate_every=20", "train.validate_examples=100"),
    *("evaluate.lengths=[4,8,16]", "evaluate.splits=[boundary,broad]", "evaluate.examples=500"),
]
STOPPING = [  # it passes its third and its fourth validation, which ends it at update 24
    *(*SMALL, "train.updates=60", "train.validate_every=6", "train.learning_rate=0.03", "train.stop_at=0.5"),
    *("evaluate.splits=[broad]", "evaluate.lengths=[2]"),
]


@cache
def point(*line):
    (one,) = config.points(line)
    return one


def differences(one, other):
    """What the finished run below a results folder has otherwise than the one below another: nothing but times may."""
    (one,), (other,) = store.runs(one), store.runs(other)
    ours, theirs = outcome(one), outcome(other)
    return [name for name in sorted(ours | theirs) if ours.get(name) != theirs.get(name)]


def outcome(folder):
    record = store.from_json(folder / "run.json")
    assert (record["status"], record["reason"]) == ("DONE", None)
    assert not any(folder.glob(".*.tmp"))
    found = {name: (folder / name).read_bytes() for name in ("config.yaml", "items.npz", "positions.csv")}
    for name in ("curve.csv", "scores.csv"):
        found[name] = str([row | {"seconds": None} for row in store.from_csv(folder / name)])
    found |= {name: record[name] for name in ("id", "update", "loss", "train_flops", "notes")}
    tensors = store.load_checkpoint(folder).tensors
    return found | {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def undisturbed(victims, tmp_path_factory):
    """(results folder, how long it took) of a run that nothing happens to."""
    root = tmp_path_factory.mktemp("undisturbed")
    victims(MIDDLING, tmp_path_factory.mktemp("warm"))
    (ended,) = victims(MIDDLING, root)
    assert ended.code == 0, ended.said
    return root, ended.seconds


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_bits(victims, undisturbed, tmp_path, times, promise):
    whole, seconds = undisturbed
    dice, wanted, killed, survived, trained = random.Random(3), times(100), 0, 0, 0
    for number in range(2 * wanted):
        before = killed
        root = tmp_path / str(number)
        for _ in range(2):
            (ended,) = victims(MIDDLING, root, signal.SIGKILL, after=dice.random() * seconds)
            killed += ended.code == -signal.SIGKILL
            trained += any(root.glob("runs/*/checkpoint/*/manifest.json")) and not any(root.glob("runs/*/curve.csv"))
        (ended,) = victims(MIDDLING, root)
        assert ended.code == 0, ended.said
        survived += (killed - before) * (differences(root, whole) == [])
        shutil.rmtree(root)
        if killed >= wanted:
            break
    assert killed >= wanted
    assert trained >= wanted / 10, "some of the kills meet it between its first checkpoint and the end of its training"
    promise(1, killed, survived)


@pytest.mark.torture
@pytest.mark.parametrize("twin", FORGETFUL)
def test_one_that_forgets_something_is_caught(twin, victims, undisturbed, tmp_path, promise):
    whole, _ = undisturbed
    (ended,) = victims(MIDDLING, tmp_path / "whole", twin=twin)
    assert (ended.code, differences(tmp_path / "whole", whole)) == (0, []), "as long as nothing happens"
    root = tmp_path / "killed"
    (ended,) = victims(MIDDLING, root, signal.SIGKILL, until="runs/*/checkpoint/*/manifest.json", twin=twin)
    assert ended.code == -signal.SIGKILL
    (ended,) = victims(MIDDLING, root, twin=twin)
    assert ended.code == 0, ended.said
    promise(1, twins=1, caught={"curve.csv", "model.tokens.weight"} <= set(differences(root, whole)))


def interrupting(monkeypatch, at, numbers):
    """Send these signals once a run is there."""

    def send(*_):
        monkeypatch.undo()
        for number in numbers:
            os.kill(os.getpid(), number)

    def after(calls, what, name):
        real, made = getattr(what, name), []

        def counting(*arguments):
            made.append(name)
            if len(made) == calls:
                send()
            return real(*arguments)

        monkeypatch.setattr(what, name, counting)

    places = {
        "start": (1, experiment, "check"),
        "drawing": (9, draw.Source, "training"),
        "training": (8, train, "objective"),
        "save": (8, store.disk, "write"),  # config and twice the record after their manifests, tensors, facts
        "validation": (2, training, "evaluate"),
        "evaluation": (2, rows, "evaluate"),
    }
    after(*places[at])


@pytest.fixture(scope="module")
def quiet_end(tmp_path_factory):
    """Where a small run that stops early came to its end undisturbed."""
    root = tmp_path_factory.mktemp("stopping")
    experiment.run(point(*STOPPING), root, quiet=True)
    return root


@pytest.mark.parametrize("at", "start drawing training save validation evaluation".split())
@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ((signal.SIGTERM,), 75),
        ((signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM), 75),
        ((signal.SIGINT, signal.SIGINT, signal.SIGTERM), 130),
    ],
    ids=["SIGTERM", "SIGUSR1", "SIGINT"],
)
def test_a_signal_leaves_a_verified_checkpoint_and_its_exit_code(at, numbers, code, quiet_end, tmp_path, monkeypatch):
    line = [*STOPPING, "--results", str(tmp_path)]
    with monkeypatch.context() as patch:
        interrupting(patch, at, numbers)
        began = time.perf_counter()
        assert main(line) == code
    assert time.perf_counter() - began < 5
    (folder,) = store.runs(tmp_path)
    record = store.from_json(folder / "run.json")
    assert (record["status"], record["reason"]) == ("PREEMPTED", signal.Signals(numbers[0]).name)
    found = store.load_checkpoint(folder)
    reached = {"start": 1, "drawing": 9, "training": 8, "save": 6, "validation": 12, "evaluation": 24}
    assert (found.facts["update"], found.complaints) == (reached[at], [])
    assert main(line) == 0
    assert differences(tmp_path, quiet_end) == []
    assert store.from_json(folder / "run.json")["resumed"] == 1


def test_batches_drawn_ahead_are_those_of_their_updates_and_none_follow_a_signal(monkeypatch):
    drawn, came = [], []
    monkeypatch.setattr(signals, "received", lambda: bool(came))
    ahead = training._ahead(lambda update: drawn.append(update) or update, last=18)
    assert [ahead(update) for update in range(3, 6)] == [3, 4, 5]
    assert drawn == list(range(3, 3 + training.AHEAD))
    came.append(signal.SIGTERM)
    assert [ahead(update) for update in range(6, 13)] == list(range(6, 13))
    assert drawn == list(range(3, 13)), "after a signal one at a time"
    came.clear()
    assert [ahead(update) for update in range(13, 19)] == list(range(13, 19))
    assert drawn == list(range(3, 19)), "no batch twice, none after the last update"


def test_a_process_that_gets_a_signal_leaves_within_five_seconds(victims, undisturbed, tmp_path):
    whole, seconds = undisturbed
    for number, code in ((signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130), (signal.SIGTERM, 75)):
        (ended,) = victims(MIDDLING, tmp_path, number, until="runs/*/claim/*.json", after=seconds / 10)
        assert (ended.code, ended.said.count("\n")) == (code, 1), ended.said
        assert "interrupted; the same command does what is missing" in ended.said
        assert ended.seconds < 5
    (folder,) = store.runs(tmp_path)
    assert store.load_checkpoint(folder).complaints == []
    assert victims(MIDDLING, tmp_path)[0].code == 0
    assert differences(tmp_path, whole) == []
    assert store.from_json(folder / "run.json")["resumed"] == 4


def states(monkeypatch, folder, copies):
    """Copy a results folder before each change of the disk that what runs meanwhile makes: what a kill there leaves."""
    made = []

    def watch(name):
        real = getattr(os, name)

        def watched(*arguments, **more):
            if made is not None and folder.exists() and not busy:
                busy.append(name)
                shutil.copytree(folder, copies / f"{len(made):03d}")
                busy.clear()
                made.append(copies / f"{len(made):03d}")
            return real(*arguments, **more)

        monkeypatch.setattr(os, name, watched)

    busy = []
    for name in ("replace", "rename", "mkdir", "unlink", "rmdir"):
        watch(name)
    return made


def contents(root):
    return {
        path.relative_to(root): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if not path.name.endswith(".tmp")
    }


@pytest.fixture(scope="module")
def left(quiet_end, tmp_path_factory):
    """Every state in which a kill can leave the folder of a small run that stops early."""
    root, copies = tmp_path_factory.mktemp("watched") / "results", tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        made = states(patch, root, copies)
        experiment.run(point(*STOPPING), root, quiet=True)
    assert differences(root, quiet_end) == []
    distinct = {str(contents(copy)): copy for copy in made}
    return list(distinct.values())


def went_wrong(left, quiet_end, folder):
    """What is different when a run goes on from these states, after the death of who made them."""
    for copy in left:
        root = folder / copy.name
        shutil.copytree(copy, root)
        try:
            experiment.run(point(*STOPPING), root, quiet=True)
        except OSError as error:
            yield copy.name, str(error)
        else:
            if found := differences(root, quiet_end):
                yield copy.name, found


@pytest.fixture
def widowed(monkeypatch):
    """Every process that left a claim is dead."""
    monkeypatch.setattr(store.claims, "_started", lambda pid: -1)


@pytest.mark.torture
def test_a_kill_between_any_two_changes_of_the_disk_changes_nothing(left, quiet_end, tmp_path, widowed, promise):
    assert len(left) > 50
    wrong = list(went_wrong(left, quiet_end, tmp_path))
    assert wrong == []
    promise(2, len(left), len(left) - len(wrong))


def manifest_last(folder, table, columns, items, real=store.save_scores):
    """Scores whose manifest follows them."""
    write, late = store.disk.write, []

    def deferring(path, data):
        late.append((path, data)) if path.name == "manifest.json" else write(path, data)

    store.disk.write = deferring
    try:
        real(folder, table, columns, items)
    finally:
        store.disk.write = write
    (path, data) = late[0]
    listed = {name: hashes[-1:] for name, hashes in json.loads(data)["files"].items()}
    write(path, store.to_json(store.manifest._sealing(listed)))


def manifest_first(folder, update, tensors, facts, curve, real=store.save_checkpoint):
    """A checkpoint that counts before it is there."""
    store.write(folder / "checkpoint" / f"{update:08d}" / "manifest.json", "{}")
    real(folder, update, tensors, facts, curve)


@pytest.mark.torture
@pytest.mark.parametrize("twin", [manifest_last, manifest_first])
def test_writes_in_a_wrong_order_are_caught(twin, quiet_end, tmp_path, monkeypatch, widowed, promise):
    root = tmp_path / "watched"
    with monkeypatch.context() as patch:
        made = states(patch, root, tmp_path / "states")
        patch.setattr(store, {manifest_last: "save_scores", manifest_first: "save_checkpoint"}[twin], twin)
        experiment.run(point(*STOPPING), root, quiet=True)
    distinct = {str(contents(copy)): copy for copy in made}
    promise(2, twins=1, caught=next(went_wrong(distinct.values(), quiet_end, tmp_path / "on"), None) is not None)


PHASES = ["start", "drawing", "training", "save", "validation", "evaluation"]


@pytest.mark.torture
@pytest.mark.parametrize("at", PHASES)
def test_twenty_signals_in_each_phase_leave_the_same_bits(at, quiet_end, tmp_path, monkeypatch, times, promise, capsys):
    wanted, survived = times(20), 0
    for number in range(wanted):
        line = [*STOPPING, "--results", str(tmp_path / str(number))]
        with monkeypatch.context() as patch:
            interrupting(patch, at, [(signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)[number % 3]])
            began = time.perf_counter()
            code = main(line)
            soon = time.perf_counter() - began < 5
        (folder,) = store.runs(tmp_path / str(number))
        verified = store.load_checkpoint(folder).complaints == []
        again = main(line) == 0 and differences(tmp_path / str(number), quiet_end) == []
        survived += code == (75, 75, 130)[number % 3] and soon and verified and again
    promise(3, wanted, survived)


@pytest.mark.torture
def test_a_run_without_a_checkpoint_after_a_signal_is_caught(tmp_path, monkeypatch, capsys, promise):
    """The flag is read only at validations, as where a save on SIGTERM fires in none of six preemptions."""
    line = [*STOPPING, "--results", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(signals, "received", lambda: False)
        interrupting(monkeypatch, "training", (signal.SIGTERM,))
        assert main(line) == 75
    (folder,) = store.runs(tmp_path)
    caught = store.load_checkpoint(folder).facts["update"] == 6  # not 8, where the signal met it
    promise(3, twins=1, caught=caught)


@pytest.mark.torture
def test_a_disk_that_fails_at_any_write_of_a_run_loses_nothing(
    quiet_end, tmp_path, monkeypatch, capsys, times, promise
):
    with monkeypatch.context() as patch:
        writes = Full(patch).places
        assert main([*STOPPING, "--results", str(tmp_path / "all")]) == 0
    tried = range(0, len(writes), -(-len(writes) // times(len(writes))))
    survived = 0
    for number in tried:
        line = [*STOPPING, "--results", str(tmp_path / str(number))]
        with monkeypatch.context() as patch:
            Full(patch, number)
            capsys.readouterr()
            code = main(line)
        said = capsys.readouterr().err
        told = code == 1 and " bytes needed, " in said and "Traceback" not in said and str(tmp_path) in said
        again = main(line) == 0 and set(differences(tmp_path / str(number), quiet_end)) <= {"notes"}
        survived += told and again
        assert told, (number, said)
        assert again, number
    promise(4, len(tried), survived)


def sweep(victims, results, **more):
    return victims(["-m", *MIDDLING, "seed=0,1,2"], results, **more)[0]


def alive(pids):
    return [pid for pid in pids if store.claims._started(pid) is not None]


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_an_interrupted_sweep_leaves_no_process_and_is_finished_by_the_same_command(
    victims, undisturbed, tmp_path, times, promise
):
    interrupts = [(signal.SIGINT, 130)] * times(10)
    for number, code in [(signal.SIGTERM, 75), *interrupts, (signal.SIGKILL, -9)]:
        to_all = number == signal.SIGINT  # as a terminal does, the server of the children included
        ended = sweep(victims, tmp_path, number=number, until="runs/*/claim/*.json", after=0.2, group=to_all)
        assert (ended.code, ended.seconds < 5) == (code, True), ended.said
        assert ended.owners
        last = time.monotonic() + (5 if number == signal.SIGKILL else 0)  # they notice that they are orphans
        while alive(ended.owners) and time.monotonic() < last:
            time.sleep(0.05)
        assert alive(ended.owners) == []
        assert "PREEMPTED" in set(store.read([tmp_path])["status"])
        if number == signal.SIGINT:
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
    promise(13, len(interrupts), len(interrupts))
    ended = sweep(victims, tmp_path)
    assert ended.code == 0, ended.said
    assert set(store.read([tmp_path])["status"]) == {"DONE"}
    first = point(*MIDDLING)
    for other in store.runs(tmp_path):
        if other.name != experiment.folder(first, tmp_path).name:
            shutil.rmtree(other)
    assert differences(tmp_path, undisturbed[0]) == []


@pytest.mark.torture
def test_a_sweep_that_hears_nothing_is_the_broken_twin(victims, tmp_path, promise):
    ended = sweep(victims, tmp_path, number=signal.SIGINT, until="runs/*/claim/*.json", after=0.2, group=True,
                  twin="hears_nothing")  # fmt: skip
    promise(13, twins=1, caught=int((ended.code, ended.seconds < 5) != (130, True)))


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_of_eight_processes_one_runs_and_the_others_say_who(victims, tmp_path, times, promise):
    for number in range(times(20)):
        raced(victims, tmp_path / str(number))
    promise(6, times(20), times(20))


def raced(victims, root):
    ended = victims([*MIDDLING, "train.updates=900"], root, count=8)
    assert sorted(each.code for each in ended) == [0] + 7 * [1], ended
    (folder,) = store.runs(root)
    refused = [each.said for each in ended if each.code]
    assert all(f"another process works on {folder.name}: host {HERE} pid " in said for said in refused)
    assert len({said.split(" pid ")[1].split()[0] for said in refused}) == 1
    assert store.from_json(folder / "run.json")["resumed"] == 0
    assert [row["update"] for row in store.from_csv(folder / "curve.csv")] == list(range(10, 901, 10))


@pytest.mark.torture
def test_a_sweep_that_is_started_twice_at_once_trains_each_run_once(victims, tmp_path, times, promise):
    line, once = ["-m", *MIDDLING, "seed=range(0,6)"], 0
    for number in range(times(10)):
        root = tmp_path / str(number)
        ended = victims(line, root, count=2)
        assert [each.code for each in ended] == [0, 0], ended
        once += sum(map(trained_once, store.runs(root)))
    promise(12, 6 * times(10), once)


@pytest.mark.torture
def test_a_sweep_that_claims_nothing_trains_what_another_trains_and_is_the_broken_twin(victims, tmp_path, promise):
    ended = victims(["-m", *MIDDLING, "seed=0,1"], tmp_path, count=2, twin="claims_nothing")
    both_done = [each.code for each in ended] == [0, 0]
    promise(12, twins=1, caught=int(not both_done or sum(map(trained_once, store.runs(tmp_path))) < 2))


def trained_once(folder):
    record = store.from_json(folder / "run.json")
    updates = [row["update"] for row in store.from_csv(folder / "curve.csv")]
    return (record["resumed"], record["status"], updates) == (0, "DONE", list(range(10, 241, 10)))


def planted(folder, age=0.0, **owner):
    """A claim with this owner, whose heart beat last so many seconds ago."""
    path = folder / "claim" / "1-1.json"
    store.write(path, store.to_json(owner) if owner else "{")
    os.utime(path, (time.time() - age,) * 2)
    return path


def dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


HERE, ELSEWHERE = store.claims.platform.node(), "elsewhere"
STALE = {
    "dead": lambda folder: planted(folder, host=HERE, pid=dead(), started=1, since="yesterday"),
    "reused": lambda folder: planted(folder, host=HERE, pid=os.getpid(), started=1, since="yesterday"),
    "silent": lambda folder: planted(folder, host=ELSEWHERE, pid=os.getpid(), started=1, since="today", age=601),
    "unreadable": lambda folder: planted(folder, age=601),
    "empty": lambda folder: (folder / "claim").mkdir(parents=True),
}
LIVING = {
    "here": lambda f: planted(f, host=HERE, pid=os.getppid(), started=store.claims._started(os.getppid()), since="now"),
    "elsewhere": lambda folder: planted(folder, host=ELSEWHERE, pid=dead(), started=1, since="now", age=500),
    "unreadable": lambda folder: planted(folder, age=500),
}


@pytest.mark.parametrize("owner", STALE)
def test_a_stale_claim_is_taken_by_one_of_eight(owner, tmp_path):
    for number in range(20):
        folder, inside, refused, start = tmp_path / str(number), [], [], Barrier(8)
        STALE[owner](folder)

        def contend(folder=folder, inside=inside, refused=refused, start=start):
            start.wait()
            try:
                with store.claim(folder):
                    inside.append(len(list((folder / "claim").iterdir())))
                    while len(refused) < 7:
                        time.sleep(0.001)
            except store.Claimed as claimed:
                refused.append(str(claimed))

        contenders = [Thread(target=contend) for _ in range(8)]
        for contender in contenders:
            contender.start()
        for contender in contenders:
            contender.join(timeout=20)
        assert inside == [1]
        assert all(f"host {HERE} pid {os.getpid()} since" in sentence for sentence in refused)
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("owner", LIVING)
def test_a_living_owner_is_named_and_nothing_changed(owner, tmp_path):
    path = LIVING[owner](tmp_path)
    before = path.read_bytes()
    with pytest.raises(store.Claimed, match=f"pid {os.getppid()} since now" if owner == "here" else "another process"):
        store.claim(tmp_path).__enter__()
    assert (path.read_bytes(), [*tmp_path.rglob("*")]) == (before, [tmp_path / "claim", path])


def entered(folder):
    """How many are inside at last when another takes a stale claim between the reading and the removing of one."""
    living, held = store.claims._living, []

    def slow(file):
        owner = living(file)
        if not held:
            held.append(store.claim(folder))
            held[0].__enter__()
        return owner

    STALE["dead"](folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.claims, "_living", slow)
        try:
            with store.claim(folder):
                return 2
        except store.Claimed:
            return 1
        finally:
            held[0].__exit__(None, None, None)


@pytest.mark.torture
def test_who_comes_late_takes_nothing_from_the_next_owner(tmp_path, monkeypatch, promise):
    assert entered(tmp_path / "careful") == 1
    remove = store.disk.remove

    def careless(path):  # what it read before is not what it removes
        remove(path.parent if path.parent.name == "claim" else path)

    monkeypatch.setattr(store.disk, "remove", careless)
    promise(6, twins=1, caught=entered(tmp_path / "careless") == 2)


def test_the_heart_beats_and_who_lost_a_claim_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(store.claims, "BEAT", 0.02)
    with signals.watching():
        with store.claim(tmp_path):
            (file,) = (tmp_path / "claim").iterdir()
            os.utime(file, (0, 0))
            time.sleep(0.2)
            assert time.time() - file.stat().st_mtime < 60
            signals.check()
            file.unlink()
            time.sleep(0.2)
            with pytest.raises(signals.Interrupted):
                signals.check()
            assert not file.exists()
        with pytest.raises(KeyError), store.claim(tmp_path):
            raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_waits_for_the_run_of_another_process_and_does_what_that_leaves(tmp_path):
    first, second = (experiment.folder(point(*SMALL, f"seed={seed}"), tmp_path) for seed in (0, 1))
    line = [sys.executable, "-m", "harness", "-m", *SMALL, "seed=0,1", "--results", str(tmp_path)]
    with store.claim(first):
        sweep = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        last = time.monotonic() + 60
        while store.load_record(second).get("status") != "DONE" and time.monotonic() < last:
            time.sleep(0.1)
        time.sleep(1)
        assert sweep.poll() is None
        assert [path.name for path in first.iterdir()] == ["claim"]
    said, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, said
    assert [store.load_record(folder)["status"] for folder in (first, second)] == ["DONE", "DONE"]


@pytest.mark.parametrize("seconds", [2.5, 3.5])
def test_a_sweep_is_interrupted_without_a_traceback_while_its_server_starts(tmp_path, seconds):
    line = [
        sys.executable,
        "-m",
        "harness",
        "-m",
        *SMALL,
        "train.updates=100000",
        "seed=0,1",
        "--results",
        str(tmp_path),
    ]
    sweep = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(seconds)
    os.killpg(sweep.pid, signal.SIGINT)
    _, said = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert "Traceback" not in said


def test_points_of_one_run_are_run_one_after_the_other(tmp_path):
    line = ["-m", *SMALL, "evaluate.splits=[broad],[natural]", "seed=0,1", "launcher.jobs=4"]
    assert main([*line, "--results", str(tmp_path)]) == 0
    frame = store.read([tmp_path])
    assert frame.groupby("run")["split"].unique().map(set).tolist() == 2 * [{"validation", "broad", "natural"}]


def test_what_is_done_is_read_without_a_claim_and_without_a_write(quiet_end, tmp_path, monkeypatch):
    shutil.copytree(quiet_end, tmp_path, dirs_exist_ok=True)
    (folder,) = store.runs(tmp_path)
    before = contents(tmp_path)
    planted(folder, host=ELSEWHERE, pid=1, started=1, since="now")
    for name in ("write", "move", "remove"):
        monkeypatch.setattr(store.disk, name, None)
    assert experiment.run(point(*STOPPING), tmp_path, quiet=True) == folder
    shutil.rmtree(folder / "claim")
    assert contents(tmp_path) == before


@pytest.fixture
def halfway(tmp_path, monkeypatch):
    """(line, results, folder) of a run that was stopped after its third checkpoint."""
    with monkeypatch.context() as patch:
        real = train.fit

        def stopping(*arguments):
            for progress in real(*arguments):
                yield progress
                if progress.update == 18:
                    signals._note(signal.SIGTERM, None)

        patch.setattr(train, "fit", stopping)
        root = tmp_path / "results"
        assert main([*STOPPING, "--results", str(root)]) == 75
    (folder,) = store.runs(root)
    assert [path.name for path in sorted((folder / "checkpoint").iterdir())] == ["00000018", "00000019"]
    return root, folder


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_corrupt_checkpoint_is_noted_and_the_one_before_is_used(halfway, quiet_end):
    root, folder = halfway
    damage(folder / "checkpoint/00000019/tensors.safetensors")
    assert main([*STOPPING, "--results", str(root)]) == 0
    (note,) = store.from_json(folder / "run.json")["notes"]
    assert "00000019/tensors.safetensors does not have the SHA-256" in note
    assert differences(root, quiet_end) == ["notes"]


def test_two_corrupt_checkpoints_end_it_in_a_sentence(halfway, capsys):
    root, folder = halfway
    damage(folder / "checkpoint/00000018/facts.json")
    damage(folder / "checkpoint/00000019/curve.csv")
    before = contents(folder / "checkpoint")
    assert main([*STOPPING, "--results", str(root)]) == 1
    record = store.from_json(folder / "run.json")
    assert record["status"] == "FAILED"
    said = capsys.readouterr().err
    assert said.count("no checkpoint can be read") == said.count("\n") == 1
    for sentence in (said, record["reason"]):
        assert "no checkpoint can be read" in sentence
        assert "00000019/curve.csv does not have the SHA-256" in sentence
        assert "00000018/facts.json does not have the SHA-256" in sentence
        assert f"delete {folder} to begin anew" in sentence
    assert contents(folder / "checkpoint") == before


def test_another_device_or_number_of_threads_is_refused_while_it_is_trained_in_part(halfway, quiet_end, capsys):
    root, folder = halfway
    before = contents(root)
    assert main([*STOPPING, "threads=2", "--results", str(root)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "threads=2" in said
    assert "threads=1" in said
    with pytest.raises(Refusal, match="go on with threads=1 or delete"):
        experiment.run(point(*STOPPING, "threads=2"), root, quiet=True)
    assert contents(root) == before
    shutil.rmtree(folder / "checkpoint")  # and with nothing to go on from it begins anew
    assert main([*STOPPING, "threads=1", "--results", str(root)]) == 0
    assert differences(root, quiet_end) == []


def test_another_processor_or_torch_is_noted(halfway, quiet_end):
    root, folder = halfway
    record = store.from_json(folder / "run.json")
    record["fingerprint"]["torch"] = "1.0"
    store.save_record(folder, record)
    assert main([*STOPPING, "--results", str(root)]) == 0
    assert store.from_json(folder / "run.json")["notes"] == [
        f"went on with torch {torch.__version__}, not 1.0: not the same bits"
    ]
    assert differences(root, quiet_end) == ["notes"]


def test_the_first_start_stays_in_the_record(halfway):
    root, folder = halfway
    record = store.from_json(folder / "run.json")
    store.save_record(folder, record | {"started": "long ago"})
    assert main([*STOPPING, "--results", str(root)]) == 0
    assert store.from_json(folder / "run.json")["started"] == "long ago"


def test_time_alone_makes_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAVED", 0.0)
    saved, real = [], store.save_checkpoint
    monkeypatch.setattr(store, "save_checkpoint", lambda *a: saved.append(a[1]) or real(*a))
    experiment.run(point(*SMALL), tmp_path, quiet=True)
    assert saved == list(range(1, 13))
    saved.clear()
    monkeypatch.setattr(training, "SAVED", 30.0)
    experiment.run(point(*SMALL, "seed=1"), tmp_path, quiet=True)
    assert saved == [5, 10, 12]


def test_a_position_table_is_told_row_by_row(halfway):
    root, folder = halfway
    assert main([*STOPPING, "--results", str(root)]) == 0
    one = point(*STOPPING)
    table = store.from_csv(folder / "positions.csv")
    before = experiment.build(one).position.table.weight.double().norm(dim=1)
    after = store.load_checkpoint(folder).tensors["model.position.table.weight"].double().norm(dim=1)
    assert [row["position"] for row in table] == list(range(64))
    assert [row["norm_at_start"] for row in table] == before.tolist()
    assert [row["norm"] for row in table] == after.tolist()
    source = draw.Source(one.task, one.scratchpad, one.seed)
    lengths = [source.training(update, (2, 5), 6, 0.5)[1].read.shape[1] for update in range(1, 25)]
    assert [row["updates"] for row in table] == [sum(place < tokens for tokens in lengths) for place in range(64)]
    assert {row["trained"] for row in table} == {True}


@pytest.mark.parametrize(
    ("line", "count", "trained"),
    [
        (["position.train=false"], 64, False),
        (["position=sinusoidal"], 9, False),
        (["position=rotary"], None, None),
        (["position=none"], None, None),
    ],
    ids=["frozen", "sinusoidal", "rotary", "none"],
)
def test_positions_that_are_not_trained_or_not_added(line, count, trained, tmp_path):
    folder = experiment.run(point(*SMALL, *line), tmp_path, quiet=True)
    assert (folder / "positions.csv").exists() == (count is not None)
    if count:
        table = store.from_csv(folder / "positions.csv")
        assert len(table) == count
        assert {row["trained"] for row in table} == {trained}
        assert all(row["norm"] == row["norm_at_start"] for row in table)


def test_the_loss_stands_beside_its_floor(tmp_path):
    one = point(*SMALL, "train.objective=sequence", "train.mix=0")
    record = store.from_json(experiment.run(one, tmp_path, quiet=True) / "run.json")
    source = draw.Source(one.task, one.scratchpad, one.seed, "sequence")
    assert record["loss_floor"] == source.loss_floor(one.train.lengths)
    assert record["loss"] > 0


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    root = tmp_path_factory.mktemp("parent")
    return root, experiment.run(point(*SMALL), root, quiet=True)


def test_a_run_starts_from_the_last_weights_of_another_and_resumes_without_it(parent, tmp_path, monkeypatch):
    root, first = parent
    shutil.copytree(root, tmp_path / "one")
    line = [*STOPPING, f"train.init_from={first.name}", "train.stop_at=2", "train.updates=10"]
    whole = experiment.run(point(*line), tmp_path / "one", quiet=True)
    record = store.from_json(whole / "run.json")
    tensors = store.load_checkpoint(first)
    assert record["init_from"] == {"run": first.name, "id": record["init_from"]["id"], "sha256": tensors.sha256}
    assert record["init_from"]["id"].startswith(first.name[-8:])
    begun = store.from_csv(whole / "positions.csv")
    assert [row["norm_at_start"] for row in begun] == [
        row["norm"] for row in store.from_csv(first / "positions.csv")
    ], "it starts where the other ended"

    shutil.copytree(root, tmp_path / "two")
    with monkeypatch.context() as patch:
        interrupting(patch, "training", (signal.SIGTERM,))
        assert main([*line, "--results", str(tmp_path / "two")]) == 75
    shutil.rmtree(tmp_path / "two" / "runs" / first.name)
    assert main([*line, "--results", str(tmp_path / "two")]) == 0
    shutil.rmtree(tmp_path / "one" / "runs" / first.name)
    assert differences(tmp_path / "one", tmp_path / "two") == []
    again = store.from_json(tmp_path / "two" / "runs" / whole.name / "run.json")
    assert again["init_from"] == record["init_from"]


def test_a_run_does_not_pass_for_one_that_began_from_other_weights(parent, tmp_path, capsys):
    root, first = parent
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    line = [*STOPPING, f"train.init_from={first.name}", "train.updates=10", "--results", str(tmp_path)]
    assert main(line) == 0
    there = tmp_path / "runs" / first.name
    found = store.load_checkpoint(there)
    tensors = {name: tensor + 1 for name, tensor in found.tensors.items()}
    shutil.rmtree(there / "checkpoint")
    store.save_checkpoint(there, found.facts["update"], tensors, found.facts, "")
    before = contents(tmp_path)
    capsys.readouterr()
    assert main(line) == 2
    assert f"train.init_from={first.name}: it has been trained again" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["train.init_from=NEAR"], "did you mean"),
        (["train.init_from=../runs"], "does not exist"),
        (["train.init_from=RUN", "attention=linear"], "attention.name=softmax, not linear"),
        (["train.init_from=RUN", "position=rotary"], "position=learned, not rotary"),
        (["train.init_from=RUN", "model.width=16"], "model.width=8, not 16"),
        (["train.init_from=RUN", "model.layers=2"], "model.layers=1, not 2"),
        (["train.init_from=RUN", "model.context=65"], "model.context=64, not 65"),
        (["train.init_from=RUN", "task.values=9"], "vocabulary="),
    ],
    ids=["near", "path", "attention", "position", "width", "layers", "context", "vocabulary"],
)
def test_a_run_that_cannot_be_started_from_is_refused_before_anything_begins(line, words, parent, capsys):
    root, first = parent
    before = contents(root)
    line = [word.replace("RUN", first.name).replace("NEAR", first.name[:-1] + "_") for word in line]
    assert main(["-m", *SMALL, *line, "seed=0,1", "--results", str(root)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert contents(root) == before


def test_a_run_that_is_not_finished_cannot_be_started_from(halfway, capsys):
    root, folder = halfway
    assert main([*SMALL, f"train.init_from={folder.name}", "--results", str(root)]) == 2
    assert "its training is not finished, its status is PREEMPTED" in capsys.readouterr().err
