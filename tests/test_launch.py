"""Several runs: each in a process of its own, none hurts another, and alone or in a sweep gives the same bits."""

import numpy as np
import pytest
import torch

from harness import config, experiment, identity, launch, store
from harness.__main__ import main
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
    alone = experiment.run(point, tmp_path, quiet=True)
    together = identity.folder(point, root)
    assert [r | {"seconds": ""} for r in rows(alone)] == [r | {"seconds": ""} for r in rows(together)]
    ours, theirs = weights(alone), weights(together)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_run_that_is_killed_without_a_word_gets_its_reason(tmp_path):
    class Killed:
        exitcode = -9

        def join(self):
            pass

    running = {"status": "RUNNING", "run": "x"}
    store.write(tmp_path / "run.json", store.to_json(running))
    with store.claim(tmp_path):  # it was killed before it could tell that another process works on the run
        assert not launch._ended(Killed(), tmp_path)
        assert store.from_json(tmp_path / "run.json") == running
    assert not launch._ended(Killed(), tmp_path)
    assert store.from_json(tmp_path / "run.json") == running | {"status": "FAILED", "reason": "killed by SIGKILL"}


def test_everything_is_checked_before_anything_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["-m", *SMALL, "seed=0,1", "device=cpu,cuda", "--results", str(tmp_path / "results")]) == 2
    assert "device=cuda" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_only_the_natural_split_can_be_asked_for(tmp_path, capsys):
    assert main([*SMALL, "evaluate.splits=[natural]", "--results", str(tmp_path)]) == 0
    assert "on natural" in capsys.readouterr().out
