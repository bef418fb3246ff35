"""The smoke of every study: its runs, its tables, its figures, its verdicts, from the command line."""

import json

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
    ((_, record),) = store.load_studies([root])
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
