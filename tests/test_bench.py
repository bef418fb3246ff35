"""The bench: who is timed, what its rows say, what is promised of them, and the page that they make."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from harness import cost, memory, store
from harness.__main__ import main
from harness.bench import cases, commands, figure, page, race, rows, subjects
from harness.bench.promises import Promise, crossover, one, promises, slope
from harness.report import style

TINY = replace(cases.QUICK, ladder=(32, 64), softmax=32, model=32)
REFERENCE = Path(__file__).parent.parent / "results" / "reference" / "bench"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def counting(times):
    """A subject whose call does the same work so many times."""
    x = torch.randn(200, 200)

    def call():
        for _ in range(times):
            x @ x

    return call


def dying():
    return lambda: sys.exit(3)


def told():
    """Whether this process keeps its memory is not asked: the call only says that it was made."""
    return lambda: memory.keep()


def test_a_slower_subject_comes_out_slower():
    entries = [(race.Subject(name, counting, (times,)), ()) for name, times in (("one", 1), ("ten", 10))]
    one_time, ten_times = race.race(entries, race.Effort(5, 5))
    assert len(one_time.seconds) == len(ten_times.seconds) == 5
    assert one_time.calls > ten_times.calls, "a short call is made more often in a repetition"
    times = np.median(ten_times.seconds) / np.median(one_time.seconds)
    assert 3 < times < 33, "seconds are those of one call, however many a repetition makes"


def test_a_subject_that_dies_is_named():
    with pytest.raises(race.Died, match="the weak one"):
        race.race([(race.Subject("the weak one", dying), ())], race.Effort(1, 1))


@pytest.mark.parametrize(("took", "enough"), [([], False), ([0.1], False), ([0.1] * 3, False), ([0.6] * 3, True)])
def test_a_long_call_is_repeated_less_often(took, enough):
    assert race.Effort(20, 3, 1.0).enough(took) == enough
    assert race.Effort(20, 3, 1.0).enough([0.001] * 20)


def test_memory_is_kept_where_glibc_is():
    assert memory.keep() == sys.platform.startswith("linux")


@pytest.mark.parametrize("family", cases.FAMILIES)
def test_every_comparison_has_its_reference_and_its_ceilings(family, tmp_path):
    for comparison in cases.comparisons(family, TINY, tmp_path):
        names = [entry.name for entry in comparison.entries]
        assert comparison.reference in (*names, "")
        assert {cases.MATRIX, cases.COPY} <= set(names) or family in ("sweep", "startup")
        assert len(
            set(
                zip(
                    names,
                    [entry.subject.kept for entry in comparison.entries],
                    [e.n for e in comparison.entries],
                    strict=True,
                )
            )
        ) == len(names)


def test_ours_learns_the_batch_that_peers_learn():
    """One supervised position or all: the same update as the plain form makes, of the same batch."""
    for last in (False, True):
        torch.manual_seed(0)
        fast = subjects.ours(16, 4, 8, last)
        torch.manual_seed(0)
        plain = subjects.ours(16, 4, 8, last, True)
        for _ in range(3):
            assert fast().loss == pytest.approx(plain().loss, rel=1e-5)
    assert subjects.batch(4, 8, last=False).labels.shape == (4, 8)
    assert subjects.batch(4, 8, last=True).labels.tolist() == subjects.tokens(4, 9)[:, 8:].tolist()


@pytest.mark.parametrize("last", [False, True])
def test_hugging_face_learns_as_many_labels(last):
    pytest.importorskip("transformers")
    update = subjects.hugging_face(16, 4, 8, last)
    update()
    made = subjects._gpt2(16, 8)
    ours = subjects.gpt(16, 8)
    assert sum(p.numel() for p in made.parameters()) == sum(p.numel() for p in ours.parameters())


def test_decoding_writes_as_many_tokens_as_hugging_face():
    pytest.importorskip("transformers")
    assert subjects.ours_decoding(16, 3, 5, 4)().shape == (3, 4)
    assert subjects.hugging_face_decoding(16, 3, 5, 4)().shape == (3, 9)


def test_the_parts_of_a_run_do_what_a_run_does(tmp_path):
    line = (
        "task=parity",
        "train.lengths=[4]",
        "evaluate.lengths=[4]",
        "train.updates=3",
        "train.stop_at=2",
        "device=cpu",
    )
    part = commands.parts(line, str(tmp_path))
    for name in commands.PARTS:
        part(name)
    assert (tmp_path / "0" / "curve.csv").exists(), "the whole run leaves what a run leaves"


def test_a_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match="did you mean pairwise"):
        commands.command(("task=pairwis",))()


def synthetic(quick=False, changes=None):
    """A row for each entry of each comparison, timed by a rule: a nanosecond for each FLOP."""
    made = []
    for family in cases.FAMILIES:
        for comparison in cases.comparisons(family, cases.FULL, Path("nowhere")):
            timings = {}
            for entry in comparison.entries:
                seconds = (changes or {}).get(entry.subject.name, 1.0) * 1e-9 * (entry.flops or entry.n)
                timings[entry] = race.Timing((seconds, 1.1 * seconds, 1.2 * seconds), 1)
            made += rows.told(comparison, timings)
    known = dict.fromkeys(rows.MACHINE, "some") | {"quick": quick, "commit": "0123456789", "dirty": False}
    return pd.DataFrame([row | known for row in made], columns=rows.COLUMNS)


@pytest.fixture(scope="module")
def plain():
    return synthetic()


def test_every_promise_reads_a_number(plain):
    found = {promise.what: promise.found(plain) for promise in promises()}
    assert len(found) == len(promises()), "no two say the same"
    assert all(value is not None and np.isfinite(value) for value in found.values()), found


def test_a_promise_can_be_broken_and_kept(plain):
    for promise in promises():
        value = promise.found(plain)
        for bound, kept in ((0.9 * value - 1e-9, promise.least), (1.1 * value + 1e-9, not promise.least)):
            assert replace(promise, bound=bound).kept(plain) == kept
        assert promise.kept(plain.iloc[:0]) is None, "what was not measured is neither"


def test_ratios_are_to_the_reference(plain):
    slower = synthetic(changes={cases.HF: 3.0})
    about = {"family": "training", "case": "all positions", "subject": cases.HF, "memory": "kept", "width": 64}
    assert one(slower, "ratio", about) == pytest.approx(3 * one(plain, "ratio", about))
    assert one(plain, "ratio", about) == pytest.approx(1.0)


def test_shares_are_of_the_best_product(plain):
    half = synthetic(changes={cases.MATRIX: 0.5})
    about = {"case": "all positions", "subject": cases.OURS, "width": 64}
    assert one(plain, "of_matrix", about) == pytest.approx(1.0)
    assert one(half, "of_matrix", about) == pytest.approx(0.5)


def test_the_steepest_step_is_the_slope():
    table = pd.DataFrame({"n": [4, 1, 8, 2], "seconds": [8.0, 1.0, 16.0, 2.0], "status": "measured", "subject": "it"})
    assert slope(table, 8, {"subject": "it"}) == pytest.approx(2.0)
    assert slope(table, 2, {"subject": "it"}) == pytest.approx(1.0)
    assert slope(table, 16, {"subject": "it"}) is None


def test_a_crossover_is_where_it_stays_faster():
    table = pd.DataFrame(
        {"n": [1, 2, 4, 8], "ratio": [0.5, 2.0, 0.9, 0.1], "case": "mixer alone", "subject": "it", "width": 64}
    )
    assert crossover(table, "it", 64) == 4
    assert crossover(table.assign(ratio=2.0), "it", 64) is None


def test_the_page_says_what_was_kept_and_what_was_not(plain):
    said = page.page(plain)
    assert "**not kept**" in said
    assert " kept |" in said
    for promise in promises():
        assert promise.what in said
    absent = plain.assign(status=plain["status"].where(plain["subject"] != cases.HF, "missing"))
    assert "not installed" in page.page(absent)


def test_of_several_machines_what_is_promised_stands_side_by_side(plain):
    slow = plain.assign(cpu="Slow")
    slow["ratio"] /= 100
    fast = plain.assign(cpu="Fast")
    said = page.page(fast, slow)
    assert "| family | what | promised | Fast | Slow |" in said
    assert said.count("Measured on: ") == 2
    for promise in promises():
        (line,) = (line for line in said.splitlines() if f"| {promise.what} |" in line)
        verdicts = [cell.strip().endswith(" kept") for cell in line.split("|")[4:6]]
        assert verdicts == [promise.kept(fast) is True, promise.kept(slow) is True]
    assert page.page(fast).split("## Training")[1] == said.split("## Training")[1]


def test_the_page_names_every_commit_of_its_rows(plain):
    first, other = plain.assign(commit="a" * 40, dirty=False), plain.assign(commit="b" * 40, dirty=True)
    split = first.where(first["family"] != "decoding", other)
    said = page.page(split)
    assert "decoding at commit `bbbbbbbb` with changes" in said
    assert "at commit `aaaaaaaa`" in said
    assert "`aaaaaaaa` with changes" not in said


def test_quick_rows_make_no_page(tmp_path, capsys):
    path = tmp_path / "bench.csv"
    synthetic(quick=True).to_csv(path, index=False)
    assert main(["bench", "--page", str(path)]) == 2
    assert "--quick" in capsys.readouterr().err
    assert main(["bench", "--page", str(tmp_path / "none.csv")]) == 2


def test_the_figure_is_drawn_of_what_there_is(plain):
    assert len(style.render(figure.figure(plain))) > 10_000
    assert style.render(figure.figure(plain[plain["family"] == "linear"]))
    with pytest.raises(ValueError, match="nothing to draw"):
        figure.figure(plain.assign(status="missing"))


def test_a_family_that_does_not_exist_is_refused(capsys):
    assert main(["bench", "--only", "trainin"]) == 2
    assert "did you mean training" in capsys.readouterr().err


def test_bench_runs_from_end_to_end(tmp_path, capsys, monkeypatch):
    """Its smallest family, a peer that is not installed among it."""
    monkeypatch.setattr(cases, "QUICK", TINY)
    monkeypatch.setattr(cases, "PEERS", {cases.HF: "no_such_package", cases.XT: "neither_this"})
    monkeypatch.setattr(cases, "_decoding", lambda scale, root: (c for c in [next(DECODING(scale, root))]))
    assert main(["bench", "--quick", "--only", "decoding", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "pip install -e '.[bench]'" in told.err
    table = pd.read_csv(tmp_path / "bench.csv")
    assert list(table) == rows.COLUMNS
    assert set(table.loc[table["subject"] == cases.HF, "status"]) == {"missing"}
    ours = table[table["subject"] == cases.OURS]
    assert (ours["repetitions"] == 2).all()
    assert (ours["seconds"] > 0).all()
    assert ours["flops"].item() == 3 * sum(
        cost.forward_flops(subjects.gpt(16, 9), one, 1) for one in cost.passes("causal", 5, 4, ())
    )
    assert (tmp_path / "bench.png").exists()


DECODING = cases._decoding


def test_the_page_is_what_the_committed_rows_say():
    machines = [pd.read_csv(REFERENCE / f"{name}.csv") for name in ("epyc", "xeon")]
    assert PAGE.read_text(encoding="utf-8") == page.page(*machines)


def test_promises_are_values():
    assert all(isinstance(promise, Promise) for promise in promises())
    assert store.to_csv([], rows.COLUMNS).strip() == ",".join(rows.COLUMNS)
