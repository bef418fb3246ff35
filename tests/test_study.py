"""Studies and claims as they lie in ``conf/study/``: all compose, all are judged, all figures can be drawn."""

import inspect
import re
from functools import cache

import pytest

from harness import groups, judge
from harness.nearest import Refusal
from harness.report import claims, figures, statistics
from harness.study import COMMON, SIZES, Study, asked, names

LEDGER = "C0 C1a C1b C2 C3 C4a C4b C5a C5b C6a C6b C7 C8 C9a C9b C9c C10 C11 C12 C13 C14".split()


@pytest.fixture(params=names())
def study(request):
    return Study.load(request.param)


@cache
def points_of(name, size):
    """Composing hundreds of points takes its time: once is enough."""
    return Study.load(name).points(size)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_composes(study, size):
    points = points_of(study.name, size)
    assert set(points) <= set(study.arms)
    assert all(points.values())
    assert points or study.measured(size)


def test_a_size_names_arms_minutes_and_nothing_else(study):
    assert tuple(study.sizes) == SIZES
    for said in study.sizes.values():
        assert said["minutes"] > 0
        assert set(said) <= {"minutes", COMMON, "theory", *study.arms}


def test_the_header_says_command_minutes_and_what_to_expect(study):
    header = groups.text("study", study.name).split("\nquestion")[0]
    assert f"# python -m harness study={study.name}\n" in header
    assert "minute" in header
    assert "expect" in header
    assert study.expect
    assert study.question.endswith("?")


def test_seeds_are_several_in_all_but_the_smoke(study):
    for size in ("small", "full"):
        for arm, points in points_of(study.name, size).items():
            assert len({point.seed for point in points}) >= (3 if size == "full" else 1), arm


def test_the_full_size_tries_several_learning_rates(study):
    for arm, points in points_of(study.name, "full").items():
        rates = {point.train.learning_rate for point in points}
        assert len(rates) >= 3, arm


def test_every_claim_of_the_theory_ledger_has_its_entry():
    found = [claim.name for claim in judge.claims()]
    assert {re.sub("[a-z]$", "", name) for name in LEDGER} <= {re.sub("[a-z]$", "", name) for name in found}
    assert {name for name in LEDGER if name not in ("C13", "C14")} <= set(found)


def test_a_claim_names_arms_and_tables_of_its_study():
    for claim in judge.claims():
        study = Study.load(claim.study)
        for statistic in [claim.statistic, *(control.statistic for control in claim.controls)]:
            for settings in statistic.values():
                conditions = [*settings.get("where", ()), *settings.get("left", ()), *settings.get("right", ())]
                arms = [part for c in conditions if c.startswith("arm=") for part in c[4:].split(",")]
                assert set(arms) <= set(study.arms), claim.name
                assert settings.get("table", next(iter(study.theory), None)) in (*study.theory, None), claim.name


def test_a_figure_names_arms_and_settings_that_there_are(study):
    for said in study.figures:
        assert said["draw"] in figures.STUDY
        assert {c[4:] for c in said.get("where", ()) if c.startswith("arm=") and "," not in c} <= set(study.arms)
        assert said["caption"].endswith(".")
        settings = set(said) - {"draw", "caption", "where", "each", "law", "table", "resource"}
        assert settings <= set(inspect.signature(getattr(figures, said["draw"])).parameters), said


def test_words_of_the_line_replace_axes():
    study, size, words = asked(["study=hops", "seed=7,8", "attention=gru"])
    assert size == "small"
    for points in study.points(size, words).values():
        assert {point.seed for point in points} == {7, 8}
        assert {point.attention.name for point in points} == {"gru"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["study=pairwise_conjectur"], "did you mean pairwise_conjecture"),
        (["study=filler", "study.size=smal"], "did you mean small"),
        (["study=filler", "study.seize=small"], "did you mean study.size"),
        (["study.size=small"], "study=NAME is missing"),
    ],
)
def test_a_typo_is_refused_with_the_nearest_name(line, said):
    with pytest.raises(Refusal, match=re.escape(said)):
        asked(line)


def test_a_line_without_a_study_is_none():
    assert asked(["task=pairwise"]) is None


BROKEN = {
    "no gap": {"supported_if": "> 0.2", "refuted_if": "< 0.2"},
    "both above": {"supported_if": "> 0.5", "refuted_if": "> 0.2"},
    "no inequality": {"supported_if": "0.5"},
    "unknown statistic": {"statistic": {"exponents": {"resource": "state bits"}}},
    "unknown setting of a statistic": {"statistic": {"exponent": {"resource": "state bits", "were": []}}},
    "unknown setting": {"sentense": "x"},
    "unknown over": {"over": "most"},
    "a control that cannot be measured": {
        "controls": [{"name": "a", "statistic": {}, "holds_if": "> 1", "otherwise": "b"}]
    },
}


@pytest.mark.parametrize("wrong", BROKEN)
def test_a_broken_claim_is_refused_by_name(wrong):
    good = {
        "sentence": "It grows.", "source": "S6", "statistic": {"exponent": {"resource": "state bits"}},
        "supported_if": "> 0.5", "refuted_if": "< 0.2",
    }  # fmt: skip
    claims.Claim.of("C99", "a_study", good)
    with pytest.raises(ValueError, match="claim C99 of study a_study"):
        claims.Claim.of("C99", "a_study", good | BROKEN[wrong])


def test_every_kind_of_statistic_is_used_by_a_claim():
    used = {kind for claim in judge.claims() for kind in claim.statistic}
    used |= {kind for claim in judge.claims() for control in claim.controls for kind in control.statistic}
    assert set(statistics.KINDS) - used <= {"solving"}
