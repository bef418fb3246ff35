"""The findings are what the committed rows say, and a number that is changed by hand is seen."""

from pathlib import Path

import pytest

from harness import judge, store
from harness.__main__ import main
from harness.report import findings

ROOT = Path(__file__).parent.parent
EVIDENCE = ROOT / "results" / "reference"


@pytest.fixture(scope="module")
def verdicts():
    return judge.verdicts(judge.evidence([EVIDENCE]))


def test_the_texts_are_what_the_rows_say(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["findings", "--check"]) == 0, capsys.readouterr().err


def test_a_number_changed_by_hand_is_seen(verdicts):
    table = findings.summary(verdicts)
    readme = findings.spliced((ROOT / "README.md").read_text(), table)
    number = next(verdict.number for verdict in verdicts if verdict.size)
    said = findings.first_difference("README.md", readme.replace(number, "0.5 [0.4, 0.6]"), readme)
    assert "0.5 [0.4, 0.6]" in said
    assert number in said
    assert findings.first_difference("README.md", readme, readme) == ""


def test_every_statement_of_the_note_has_a_row(verdicts):
    table = findings.summary(verdicts)
    for source in findings.STATEMENTS:
        assert f"| {source}, C" in table


def test_the_committed_evidence_is_whole_small_and_without_checkpoints():
    for folder in store.runs(EVIDENCE):
        assert store.load_scores(folder)[0], folder.name
        assert not (folder / "checkpoint").exists()
    assert sum(path.stat().st_size for path in EVIDENCE.rglob("*") if path.is_file()) < 12 * 2**20


def test_nothing_in_the_evidence_names_a_machine_s_path():
    for path in EVIDENCE.rglob("*.json"):
        assert "/tmp" not in path.read_text()
        assert "/home" not in path.read_text()


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match="needs the line"):
        findings.spliced("# nothing", "table")
