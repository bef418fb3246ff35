"""``status``: where every run of a sweep stands, told by the folder alone, whoever asks."""

import os

import pytest

from harness import config, identity, status, store
from harness.__main__ import main
from harness.status import STATES
from tests.test_experiment import SMALL
from tests.test_resume import ELSEWHERE, dead, planted

RECORD = {"recipe": "0", "versions": {}, "reason": None}


def begun(root, run, **record):
    """The folder of a run that has begun."""
    folder = store.run_folder(root, run)
    store.write(folder / "config.yaml", store.to_yaml({"train": {"updates": 700}}))
    store.save_record(folder, RECORD | {"run": run} | record)
    return folder


@pytest.fixture
def every(tmp_path):
    """A results folder with a run in each state, of a sweep of nine."""
    begun(tmp_path, "done", status="DONE")
    begun(tmp_path, "diverged", status="DIVERGED", reason="update 3: loss inf")
    living = begun(tmp_path, "living", status="RUNNING")
    planted(living, host=ELSEWHERE, pid=77, started=1, since="2026-11-29T05:45:29+00:00")
    store.write(living / "checkpoint" / "00000250" / "manifest.json", "{}")
    planted(begun(tmp_path, "widow", status="RUNNING"), host=ELSEWHERE, pid=78, started=1, since="long ago", age=601)
    begun(tmp_path, "preempted", status="PREEMPTED", reason="SIGTERM")
    begun(tmp_path, "failed", status="FAILED", reason="KeyError: 'x'\x1b[31m\nsecond line")
    begun(tmp_path, "oom", status="OOM", reason="MemoryError: ")
    store.write(begun(tmp_path, "damaged") / "run.json", "{")
    names = "done diverged living widow preempted failed oom damaged never".split()
    store.save_sweep(tmp_path, names)
    return tmp_path


def counts(said):
    """line -> state -> number, of what is printed."""
    head, *lines = said.split("\n\n")[0].splitlines()
    assert head.split() == ["points", *STATES]
    cells = [line.rsplit(maxsplit=1 + len(STATES)) for line in lines]
    return {name.strip(): dict(zip(head.split(), map(number, rest), strict=True)) for name, *rest in cells}


def number(cell):
    return 0 if cell == "-" else int(cell.replace(",", ""))


def test_every_state_is_counted_and_what_is_not_done_is_told(every, capsys):
    assert main(["status", "--results", str(every)]) == 0
    said = capsys.readouterr().out
    expected = dict.fromkeys(STATES, 1) | {"failed": 2, "interrupted": 2}
    (sweep, found), (last, all_runs) = counts(said).items()
    assert (sweep, last) == (f"sweep {store.sweeps(every)[0].stem}", "all runs")
    assert found == expected | {"points": 9}
    assert all_runs == expected | {"points": 8, "waiting": 0}
    assert f"host {ELSEWHERE} pid 77, for" in said
    assert "update 250 of 700 saved" in said
    assert "its process is gone" in said
    assert "KeyError: 'x'?[31m?second line" in said
    assert "damaged/run.json does not have the SHA-256 of its manifest.json" in said


def test_a_dead_process_of_this_host_is_no_owner(tmp_path):
    planted(begun(tmp_path, "one", status="RUNNING"), host=store.claims.platform.node(), pid=dead(), started=1)
    assert status.standings(tmp_path)["one"].state == "interrupted"
    planted(store.run_folder(tmp_path, "one"), host=store.claims.platform.node(), pid=os.getpid(),
            started=store.claims._started(os.getpid()), since="now")  # fmt: skip
    assert status.standings(tmp_path)["one"].state == "running"


def test_a_sweep_is_noted_before_its_first_run_and_a_study_has_its_name(tmp_path, capsys, monkeypatch):
    line = ["-m", *SMALL, "seed=0,1", "--results", str(tmp_path)]
    names = [identity.folder(point, tmp_path).name for point in config.points([*SMALL, "seed=0,1"], sweep=True)]
    with monkeypatch.context() as patch:
        patch.setattr("harness.launch.drive", lambda *_: {})
        main(line)
    (path,) = store.sweeps(tmp_path)
    assert store.load_sweep(path).runs == tuple(sorted(names))
    capsys.readouterr()
    assert main(["status", "--results", str(tmp_path)]) == 0
    assert counts(capsys.readouterr().out)[f"sweep {path.stem}"]["waiting"] == 2
    before = path.stat()
    assert main(line) == 0
    assert path.stat() == before, "the same sweep is noted once"
    store.save_study(tmp_path, {"study": "mine", "size": "small", "words": [], "arms": {"all": names}})
    capsys.readouterr()
    assert main(["status", "--results", str(tmp_path)]) == 0
    assert counts(capsys.readouterr().out)["mine small"]["done"] == 2


HOSTILE = {
    "status": lambda root: begun(root, "one", status=["DONE"]),
    "reason": lambda root: begun(root, "one", status="FAILED", reason={"\x1b]0;title\x07": [1]}),
    "config": lambda root: planted(begun(root, "one"), host="\x1b[2J", pid="\x1b", since=3) and store.write(
        store.run_folder(root, "one") / "config.yaml", "train: [\"\\e[31m\"]"),
    "sweep": lambda root: store.write(root / "sweeps" / "\x1b[31m.json", '{"runs": ["one"]}'),
    "runs": lambda root: store.write(root / "sweeps" / "a.json", '{"runs": ["../../etc"]}'),
    "no_runs": lambda root: store.write(root / "sweeps" / "a.json", '{"runs": 3}'),
    "depth": lambda root: store.write(root / "sweeps" / "a.json", '{"runs":' + "[" * 100_000),
    "study": lambda root: store.write(root / "studies" / "a.json", "{"),
    "pipe": lambda root: os.mkfifo(begun(root, "two").parent / "two" / "pipe") or os.rename(  # noqa: PTH104
        store.run_folder(root, "two") / "pipe", store.run_folder(root, "two") / "run.json"),
    "name": lambda root: begun(root, "\x1b[31m", status="FAILED", reason="x"),
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_folder_is_told_of_and_steers_no_terminal(attack, tmp_path, capsys):
    begun(tmp_path, "good", status="DONE")
    HOSTILE[attack](tmp_path)
    assert main(["status", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert counts(said.out)["all runs"]["done"] == 1
    assert all(line.isprintable() for line in said.out.splitlines())
    assert said.err == ""


def test_a_folder_without_runs_has_none(tmp_path, capsys):
    assert main(["status", "--results", str(tmp_path / "nothing")]) == 0
    assert counts(capsys.readouterr().out) == {"all runs": dict.fromkeys(["points", *STATES], 0)}
    assert not (tmp_path / "nothing").exists()


def test_a_sweep_and_a_study_of_three_thousand_runs_can_be_noted(tmp_path, capsys):
    names = [f"pairwise-softmax-none-{number:08x}" for number in range(3000)]
    store.save_sweep(tmp_path, names)
    store.save_study(tmp_path, {"study": "large", "size": "full", "words": [], "arms": {"all": names}})
    assert main(["status", "--results", str(tmp_path)]) == 0
    assert counts(capsys.readouterr().out)["large full"]["waiting"] == 3000
