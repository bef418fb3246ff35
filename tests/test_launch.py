"""Several runs: each in a process of its own, none hurts another, and alone or in a sweep gives the same bits."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
import torch

from harness import config, experiment, identity, launch, store
from harness.__main__ import main
from harness.launch import alone, local, slurm, sweep
from harness.launch.sweep import Death
from harness.sections import Local
from tests.test_experiment import SMALL, rows, weights


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    root = tmp_path_factory.mktemp("swept")
    (point,) = config.points([*SMALL, "seed=2"])
    store.write(identity.folder(point, root) / "checkpoint", "a file stands where this run's folder has to be")
    return root, main(["-m", *SMALL, "seed=0,1,2,3", "--results", str(root)])


def test_a_run_that_fails_hurts_no_other_and_says_why(swept):
    root, code = swept
    frame = store.read([root]).groupby("run").first()
    assert sorted(frame["status"]) == ["DONE", "DONE", "DONE", "FAILED"]
    assert frame.loc[frame["seed"] == 2, "reason"].str.contains("checkpoint").all()
    assert code == 1


def test_in_a_sweep_and_alone_a_run_gives_the_same_bits(swept, tmp_path):
    root, _ = swept
    (point,) = config.points([*SMALL, "seed=1"])
    single = experiment.run(point, tmp_path, quiet=True)
    together = identity.folder(point, root)
    assert [r | {"seconds": ""} for r in rows(single)] == [r | {"seconds": ""} for r in rows(together)]
    ours, theirs = weights(single), weights(together)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_run_that_is_killed_without_a_word_gets_its_reason(tmp_path):
    death = Death("FAILED", "killed by SIGKILL")
    sweep._note(tmp_path, death)  # before it began
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]
    running = {"status": "RUNNING", "run": "x", "format": 2}
    store.save_record(tmp_path, running)
    with store.claim(tmp_path):  # it was killed before it could tell that another process works on the run
        sweep._note(tmp_path, death)
        assert store.from_json(tmp_path / "run.json") == running
    sweep._note(tmp_path, death)
    assert store.from_json(tmp_path / "run.json") == running | {"status": "FAILED", "reason": "killed by SIGKILL"}
    sweep._note(tmp_path, Death("FAILED", "exit 1"))  # it has told by itself
    assert store.from_json(tmp_path / "run.json")["reason"] == "killed by SIGKILL"
    assert (tmp_path / "log.txt").read_text() == 3 * "killed by SIGKILL\n"


@pytest.fixture(scope="module")
def three_of_twenty(tmp_path_factory):
    """(results folder, {what happens to it: folder}, how launch says that each ended)"""
    root = tmp_path_factory.mktemp("twenty")
    points = [point for seed in range(17) for point in config.points([*SMALL, f"seed={seed}"])]
    dying = {
        "exception": config.points([*SMALL, "seed=17"]),
        "killed": config.points([*SMALL, "seed=18", "train.updates=1000000"]),
        "memory": config.points([*SMALL, "seed=19", "train.batch=1000000000000000"]),
    }
    where = {name: identity.folder(point, root) for name, (point,) in dying.items()}
    store.write(where["exception"] / "checkpoint", "a file stands where this run's folder has to be")
    killer = Thread(target=kill_once_claimed, args=(where["killed"],))
    killer.start()
    points[3:3] = [point for (point,) in dying.values()]
    ended = launch.launch(points, root, Local(2))
    killer.join()
    return root, where, ended


def kill_once_claimed(folder, number=signal.SIGKILL):
    """Kill, or ask to leave, whoever begins to train there."""
    last = time.monotonic() + 120
    while not any((folder / "checkpoint").glob("*/manifest.json")) and time.monotonic() < last:
        time.sleep(0.01)
    os.kill(store.owner(folder)["pid"], number)


@pytest.mark.torture
def test_three_of_twenty_die_in_three_ways_and_seventeen_are_done(three_of_twenty, promise):
    root, where, ended = three_of_twenty
    assert [folder for folder, done in ended.items() if not done] == list(where.values())
    frame = store.read([root]).groupby("run").first()
    assert frame["status"].value_counts().to_dict() == {"DONE": 17, "FAILED": 2, "OOM": 1}
    reasons = {name: frame.loc[folder.name, "reason"] for name, folder in where.items()}
    assert "checkpoint" in reasons["exception"]
    assert reasons["killed"] == "killed by SIGKILL"
    promise(8, 17, int((frame["status"] == "DONE").sum()))
    assert reasons["memory"].startswith(("MemoryError", "RuntimeError", "_ArrayMemoryError"))


@pytest.mark.torture
def test_a_sweep_that_notes_no_death_is_the_broken_twin(tmp_path, monkeypatch, promise):
    monkeypatch.setattr(sweep, "_note", lambda *_: None)
    (point,) = config.points([*SMALL, "seed=18", "train.updates=1000000"])
    where = identity.folder(point, tmp_path)
    killer = Thread(target=kill_once_claimed, args=(where,))
    killer.start()
    launch.launch([*config.points([*SMALL, "seed=0"]), point], tmp_path, Local(2))
    killer.join()
    promise(8, twins=1, caught=int(store.load_record(where)["reason"] != "killed by SIGKILL"))


def test_the_log_of_each_lies_in_its_folder(three_of_twenty):
    root, where, _ = three_of_twenty
    logs = {folder: (folder / "log.txt").read_text() for folder in store.runs(root)}
    assert len(logs) == 20
    assert all(log.count(" pid ") == 1 for log in logs.values())
    assert "Traceback" in logs[where["exception"]]
    assert logs[where["killed"]].endswith("killed by SIGKILL\n")
    assert "Traceback" in logs[where["memory"]]
    assert sum("Traceback" in log for log in logs.values()) == 2


def test_runs_that_are_asked_to_leave_are_named_at_the_end_of_their_sweep(tmp_path, capsys):
    line = [*SMALL, "seed=0,1", "train.updates=1000000"]
    where = [identity.folder(point, tmp_path) for point in config.points(line, sweep=True)]
    killers = [Thread(target=kill_once_claimed, args=(folder, signal.SIGTERM)) for folder in where]
    for killer in killers:
        killer.start()
    assert main(["-m", *line, "--results", str(tmp_path)]) == 1
    for killer in killers:
        killer.join()
    out, err = capsys.readouterr()
    assert "2 PREEMPTED" in out
    assert [f"harness: {folder.name} was interrupted: SIGTERM" in err for folder in where] == [True, True]


def test_what_failed_is_tried_again_and_what_is_done_is_left_alone(three_of_twenty, capsys):
    root, where, _ = three_of_twenty
    (where["exception"] / "checkpoint").unlink()
    before = {folder: (folder / "log.txt").read_bytes() for folder in store.runs(root)}
    line = ["-m", *SMALL, "seed=0,1,17", "--results", str(root)]
    assert main(line) == 0, capsys.readouterr().err
    changed = [folder for folder, log in before.items() if (folder / "log.txt").read_bytes() != log]
    assert changed == [where["exception"]]


def test_everything_is_checked_before_anything_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["-m", *SMALL, "seed=0,1", "device=cpu,cuda", "--results", str(tmp_path / "results")]) == 2
    assert "device=cuda" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_only_the_natural_split_can_be_asked_for(tmp_path, capsys):
    assert main([*SMALL, "evaluate.splits=[natural]", "--results", str(tmp_path)]) == 0
    assert "on natural" in capsys.readouterr().out


def test_a_run_that_can_have_no_log_says_so_and_is_not_done(tmp_path, capfd):
    (point,) = config.points(SMALL)
    log = identity.folder(point, tmp_path) / store.LOG
    log.mkdir(parents=True)
    assert alone.alone(point, tmp_path) is False
    assert f"harness: {log} cannot be written" in capfd.readouterr().err


def test_a_claim_is_ended_for_the_job_that_is_over_alone(tmp_path):
    owner = {"host": "elsewhere", "pid": 1, "job": "7_1", "restart": 1}
    store.write(tmp_path / "claim" / "1-1.json", store.to_json(owner))
    for job, restart in (("7_10", 1), ("7_1", 0), ("7_1", 2)):
        store.release(tmp_path, job, restart)
        assert store.owner(tmp_path) == owner
    store.release(tmp_path, "7_1", 1)
    assert store.owner(tmp_path) is None


def test_processes_fill_the_cores_or_are_dealt_out_over_the_gpus(tmp_path, monkeypatch):
    points = config.points([*SMALL, "seed=range(0,5)"], sweep=True)
    assert local.Processes(points, tmp_path, None).room == local.cores()
    assert local.Processes(points, tmp_path, 3).room == 3
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert local.Processes(points, tmp_path, None).room == 2
    assert local.Processes([replace(point, device="cpu") for point in points], tmp_path, None).room == local.cores()
    place, given = local.Processes(points, tmp_path, 4), []

    class Quiet:
        exitcode = 0

        def __init__(self, target, args):
            given.append(args[2])

        def start(self):
            pass

        def join(self):
            pass

    place.context = type("Context", (), {"Process": Quiet})
    jobs = place.start(points[:4])
    assert given == [0, 1, 0, 1]
    place._death(jobs[1], "FAILED")
    place.start(points[4:])
    assert given[4] == 1, "the place that is free"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster without a SLURM: (itself, the queue that it will see)."""
    place, seen = object.__new__(slurm.Cluster), {}
    (point,) = config.points(SMALL)
    place.root, place.folder, place.looked, place.seen = tmp_path, tmp_path / "slurm" / "0", 0.0, {}
    place.points = dict.fromkeys(("1_0", "1_1"), point)
    monkeypatch.setattr(slurm, "POLL", 0.0)
    monkeypatch.setattr(slurm, "queue", lambda: dict(seen))
    return place, seen


@pytest.mark.parametrize("state", ["FAILED", "NODE_FAIL", "gone"])
def test_a_job_that_failed_or_is_forgotten_is_seen_twice_before_it_counts(state, cluster):
    place, seen = cluster
    seen |= {"1_0": slurm.Seen("RUNNING", 0), "1_1": slurm.Seen("COMPLETED", 0)}
    assert place.ended(["1_0", "1_1"]) == {"1_1": None}
    seen["1_0"] = slurm.Seen(state, 0)
    if state == "gone":
        del seen["1_0"]
    assert place.ended(["1_0"]) == {}
    assert place.ended(["1_0"]) == {"1_0": Death("FAILED", f"SLURM ended job 1_0: {state}")}


def test_a_job_that_the_queue_does_not_list_yet_is_looked_for_again(cluster):
    place, seen = cluster
    assert place.ended(["1_0"]) == {}
    seen["1_0"] = slurm.Seen("PENDING", 0)
    assert place.ended(["1_0"]) == place.ended(["1_0"]) == {}


def test_a_slurm_that_does_not_answer_ends_no_job_and_lets_the_sweep_leave(cluster, monkeypatch, capsys):
    place, _ = cluster

    def silent():
        raise OSError("SLURM does not answer: no route")

    monkeypatch.setattr(slurm, "queue", silent)
    assert place.ended(["1_0"]) == place.ended(["1_0"]) == {}
    assert place.stop(["1_0"]) == {}
    assert "does not answer: no route; the jobs that it has still go on" in capsys.readouterr().err


STARTING = """
import time
print("up", flush=True)
time.sleep(1)
from harness import signals
with signals.watching():
    print(signals.received())
"""


@pytest.mark.parametrize(("before", "said", "code"), [(["-c", slurm.HELD], "True\n", 0), ([], "", -signal.SIGTERM)])
def test_a_signal_that_meets_a_job_as_it_starts_waits_until_it_is_watched(before, said, code):
    """And one that is started as any Python is the broken twin."""
    with subprocess.Popen([sys.executable, *before, "-c", STARTING], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "up\n"
        job.terminate()
        assert job.communicate(timeout=60)[0] == said
    assert job.returncode == code
