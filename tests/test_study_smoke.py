"""The smoke of every study: its runs, its tables, its figures, its verdicts, from the command line."""

import json
import shutil

import pytest

from harness import judge, store
from harness.__main__ import main
from harness.study import Study, names


@pytest.fixture(scope="module", params=names())
def smoked(request, tmp_path_factory):
    """(study, results folder, what was printed is not kept)."""
    root = tmp_path_factory.mktemp(request.param)
    words = [f"study={request.param}", "study.size=smoke", "--results", str(root)]
    assert main(words) == 0
    return Study.load(request.param), root


def test_it_leaves_a_record_of_every_arm_whose_runs_are_done(smoked):
    study, root = smoked
    (path,) = store.studies([root])
    record = store.load_study(path)
    assert set(record["arms"]) == set(study.points("smoke"))
    rows = store.read([root])
    if len(rows):
        assert set(rows["status"]) == {"DONE"}
        assert {run for runs in record["arms"].values() for run in runs} == set(rows["run"])
    assert record["theory"] == study.measured("smoke")


def test_its_figures_are_drawn(smoked):
    study, root = smoked
    found = judge.evidence([root])[study.name]
    for name in judge.picture_names(found):
        assert (root / "figures" / f"{name}.png").exists(), name
        assert (root / "figures" / f"{name}.svg").exists(), name


def test_every_claim_is_judged_and_one_seed_decides_nothing(smoked):
    study, root = smoked
    for verdict in judge.verdicts(judge.evidence([root])):
        if verdict.claim.study == study.name:
            assert verdict.claim.missing or verdict.size == "smoke"
            exact = {"exact", "slope"} & set(verdict.claim.statistic)
            assert exact or verdict.word in ("undecided", "not here yet"), verdict.reason


@pytest.mark.parametrize("smoked", ["initialization", "rank"], indirect=True)  # runs and a table; a table alone
def test_repeating_it_does_nothing_anew(smoked):
    study, root = smoked

    def written():
        files = [*root.rglob("scores.csv"), *(root / "studies").glob("*.csv")]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = written()
    assert len(before) == len(store.runs(root)) + len(study.measured("smoke"))
    assert main([f"study={study.name}", "study.size=smoke", "--results", str(root)]) == 0
    assert written() == before
    for path in (root / "studies").glob("*.json"):
        assert json.loads(path.read_text())["study"] == study.name


def test_a_run_that_is_damaged_is_named_and_the_rest_judged_and_drawn(smoked, tmp_path, capsys):
    _, root = smoked
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    for folder in store.runs(tmp_path)[:1]:
        (folder / "run.json").write_bytes(b"{")
        assert main(["report", "--results", str(tmp_path)]) == 0, capsys.readouterr().err
        assert folder.name in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("smoked", ["pairwise_conjecture", "masks"], indirect=True)
def test_where_no_run_can_be_read_nothing_is_decided_by_runs(smoked, tmp_path, capsys):
    study, root = smoked
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    for folder in store.runs(tmp_path):
        (folder / "run.json").unlink()
    assert main(["claims", "--results", str(tmp_path)]) == 0, capsys.readouterr().err
    for verdict in judge.verdicts(judge.evidence([tmp_path])):
        if verdict.claim.study == study.name:
            assert (verdict.word, verdict.runs) == ("undecided", ()), verdict


DAMAGED = {"record": "studies/*.json", "table": "studies/*.csv", "run": "runs/*/run.json", "curve": "runs/*/curve.csv"}


@pytest.mark.parametrize("smoked", ["initialization"], indirect=True)  # runs, curves and a table
@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_of_a_study_is_told_where_it_decides_and_spoils_no_other_study(what, smoked, tmp_path, capsys):
    study, root = smoked
    other = store.save_study(tmp_path, {"study": "rank", "size": "smoke", "words": [], "arms": {}})
    whole = judge.verdicts(judge.evidence([tmp_path]))
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    file = min(tmp_path.glob(DAMAGED[what]), key=lambda path: (path == other, path))
    file.write_bytes(b"{")
    for verb in ("claims", "report"):
        assert main([verb, "--results", str(tmp_path)]) == 0, capsys.readouterr().err
    found = judge.verdicts(judge.evidence([tmp_path]))
    told = {verdict.reason for verdict in found if verdict.claim.study == study.name}
    assert [v for v in found if v.claim.study == "rank"] == [v for v in whole if v.claim.study == "rank"]
    assert any(str(file) in reason for reason in told) == (what in ("record", "table"))
    assert file.name in (tmp_path / "report.html").read_text(encoding="utf-8")
