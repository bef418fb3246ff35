"""The page holds all that it is given, as text; it loads nothing and runs nothing, whatever the records say."""

import dataclasses
import doctest
import itertools
import json
import re
import shutil
import subprocess
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from harness.report import compare, figures
from harness.report import svg as svg_room
from harness.report.claims import Claim, judge
from harness.report.evidence import Evidence
from harness.report.page import LEVELS, OPEN, page
from harness.report.svg import Picture, inline

HOSTILE = (
    "\"'><script>alert(1)</script><img src=http://a.example/x onerror=alert(1)>\x1b[31m\u202e javascript:alert(1)&lt;"
)
VOID = {"meta", "link", "br", "img", "input", "hr", "wbr", "base", "embed", "source"}
LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background", "ping", "xlink:href"}
ALIVE = {"script", "iframe", "object", "embed", "base", "form", "animate", "set", "foreignobject", "img"}


class Parsed(HTMLParser):
    """The elements of a page in their order, its text, and what is wrong with it."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.faults, self.open = [], [], [], []
        self.feed(text)
        self.close()
        ids = Counter(attributes["id"] for _, attributes in self.elements if "id" in attributes)
        self.faults += [f"id {name} stands {count} times" for name, count in ids.items() if count > 1]
        self.faults += [f"<{tag}> is never closed" for tag in self.open]
        for tag, attributes in self.elements:
            self.faults += self._wrong(tag, attributes, ids)
        styles = sum(tag == "style" for tag, _ in self.elements)
        self.faults += [f"{styles} <style>"] if styles > 1 else []
        self.text = " ".join(" ".join(self.words).split())

    def _wrong(self, tag, attributes, ids):
        if tag in ALIVE:
            yield f"<{tag}>"
        for name, value in attributes.items():
            words = (value or "").split()
            if name.startswith("on") or name in LOADS:
                yield f"{name}={value}"
            if name == "href" and not re.match(r"#|data:,$|data:image/png;base64,", value or ""):
                yield f"href={value}"
            if name == "href" and value.startswith("#") and value[1:] not in ids:
                yield f"nothing is at {value}"
            if name in ("aria-labelledby", "aria-describedby"):
                yield from (f"nothing is called {word}" for word in words if word not in ids)
            inner = re.findall(r"url\(\s*['\"]?([^)'\"]*)", value or "")
            yield from (f"{name} is at {where}" for where in inner if where[1:] not in ids or where[0] != "#")

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if len(dict(attributes)) < len(attributes):
            self.faults.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.faults += [f"style {word}" for word in ("@import", "url(", "\\") if word in data]
        else:
            self.words.append(data)


def runs(recipes=3, seeds=2, attention="softmax", lengths=(4, 8, 16), **more):
    """Rows as `store.read` gives them; the last recipe diverged, and of the others the last seed failed."""
    for recipe, seed in itertools.product(range(recipes), range(seeds)):
        status = "DIVERGED" if recipe == recipes - 1 else "FAILED" if seed == seeds - 1 else "DONE"
        about = {
            "run": f"pairwise-{attention}-none-{recipe:04d}{seed:04d}", "status": status, "recipe": f"{recipe:08x}",
            "reason": {"DONE": "", "FAILED": "the disk was full", "DIVERGED": f"NaN at update {recipe}"}[status],
            "task": "pairwise", "attention": attention, "scratchpad": "none", "seed": seed, "model.width": 16 + recipe,
            "task.alpha": 24, "version.task": 1, "version.attention": 1, "version.loop": 1, "parameters": 24064, **more,
        }  # fmt: skip
        if status != "DONE":
            yield about
            continue
        for length, split in itertools.product(lengths, ("boundary", "broad")):
            accuracy = 0.9 - 0.01 * length - 0.001 * seed
            yield about | {
                "split": split, "length": length, "in_range": True, "steps": 0, "steps_trained": 0, "stop": "budget",
                "accuracy": accuracy, "accuracy_low": accuracy - 0.02, "accuracy_high": accuracy + 0.02, "chance": 0.5,
                "state_bytes": 512, "prompt_flops": 1e6, "decode_flops": 1e4, "serial_steps": 2, "scratch_tokens": 0,
            }  # fmt: skip


def drawn(label="softmax"):
    """A figure with all that ours have: lines, clipped parts, hatches, pixels, text."""
    figure = Figure(figsize=(4, 3))
    left, right = figure.subplots(1, 2)
    left.plot([1, 2, 3], [0.5, 0.8, 0.9], "o--", label=label)
    left.fill_between([1, 2, 3], [0.4, 0.7, 0.8], [0.6, 0.9, 1.0], hatch="//", alpha=0.3)
    left.legend()
    right.imshow(np.arange(6).reshape(2, 3))
    return figure


def picture(name="pairwise-1-phase-map", study="pairwise_conjecture"):
    made = drawn()
    return Picture(name, f"{study}: phase map", figures.render(made, "svg").decode(), figures.alternative(made), study)


def verdicts(study="pairwise_conjecture", **more):
    """One that is supported, with its runs, and one that was not run."""
    said = {
        "sentence": "Accuracy is above one half.", "source": "S6", "statistic": {"accuracy": {"length": "longest"}},
        "supported_if": "> 0.5", "refuted_if": "< 0.4", "mind": "Another seed.",
        "controls": [{"name": "short", "statistic": {"accuracy": {"length": "shortest"}}, "holds_if": "> 0.1",
                      "otherwise": "nothing is learned"}],
    } | more  # fmt: skip
    data = pd.DataFrame([row for row in runs(2, 5) if row["status"] == "DONE"])
    evidence = Evidence(study, "small", data)
    other = Claim.of("C8", "recall_state", said | {"sentence": "It is so elsewhere."})
    return [judge(Claim.of("C7", study, said), evidence), judge(other, None)]


def given(**more):
    rows = pd.DataFrame(runs(2, 5))
    names = list(rows["run"].unique())
    machine = {"torch": "2.13.0", "cpu": "EPYC", "threads": 1}
    about = {"command": "python -m harness report", "version": "0.4.0", "commit": "a549cec"}
    return {
        "rows": rows, "verdicts": verdicts(), "pictures": [picture(), picture("pairwise-2-phase-map")],
        "configs": {run: f"seed: {number}\ntask:\n  name: pairwise\n" for number, run in enumerate(names)},
        "fingerprints": {run: machine for run in names}, "about": about,
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def made():
    return page(**given())


def test_examples_run():
    assert doctest.testmod(svg_room).failed == 0


def test_the_page_is_whole(made):
    assert Parsed(made).faults == []


@pytest.mark.parametrize(
    ("specimen", "said"),
    [
        ("<p id=a></p><p id=a></p>", "id a stands 2 times"),
        ("<a href='#gone'>x</a>", "nothing is at #gone"),
        ("<a href='http://a.example'>x</a>", "href=http://a.example"),
        ("<a href='javascript:alert(1)'>x</a>", "href=javascript:alert(1)"),
        ("<link rel=stylesheet href='x.css'>", "href=x.css"),
        ("<script>1</script>", "<script>"),
        ("<svg><script/></svg>", "<script>"),
        ("<img src=x>", "src=x"),
        ("<p onclick='x()'>x</p>", "onclick=x()"),
        ("<style>p{}</style><style>p{}</style>", "2 <style>"),
        ("<style>@import 'x'</style>", "style @import"),
        ("<style>p{background:url(x)}</style>", "style url("),
        ("<p style='background:url(http://a.example/x)'>x</p>", "style is at http://a.example/x"),
        ("<svg><g clip-path='url(#gone)'/></svg>", "clip-path is at #gone"),
        ("<svg aria-labelledby='gone'></svg>", "nothing is called gone"),
        ("<div><p>x</div>", "</div> closes nothing"),
        ("<div>", "<div> is never closed"),
        ("<p id=a id=b></p>", "<p> has an attribute twice"),
    ],
)
def test_a_broken_page_is_seen(specimen, said):
    assert said in Parsed(specimen).faults


def test_the_same_arguments_give_the_same_page(made):
    assert page(**given()) == made


def test_every_claim_is_told_with_all_that_decided_it(made):
    text = Parsed(made).text
    for verdict in verdicts():
        claim = verdict.claim
        told = [claim.name, claim.sentence, claim.source, claim.study, claim.mind, claim.supported_if, claim.refuted_if]
        told += [verdict.word, verdict.reason, verdict.ladder, verdict.size, "nothing is learned"]
        for words in told:
            assert words in text
    first, second = verdicts()
    assert first.word == "supported"
    assert f"{first.number} " in text
    assert second.word == "undecided"
    assert 'class="badge supported"><span aria-hidden="true">✓</span> supported</span>' in made
    assert text.startswith(
        "Report: what was claimed, seen and run What was claimed, seen and run 2 claims: 1 supported"
    )


def test_a_verdict_leads_to_its_details_and_they_to_the_deciding_runs(made):
    places = {
        attributes["id"]: number for number, (_, attributes) in enumerate(Parsed(made).elements) if "id" in attributes
    }
    links = [attributes["href"] for tag, attributes in Parsed(made).elements if tag == "a"]
    assert {"#claim-C7", "#claim-C8"} <= set(links)
    first = verdicts()[0]
    assert first.runs
    (details,) = re.findall(r'<article id="claim-C7">.*?</article>', made, re.DOTALL)
    inside = [attributes["href"] for tag, attributes in Parsed(details).elements if tag == "a"]
    assert inside == ["#figure-1", "#figure-2", *(f"#run-{run}" for run in first.runs)]
    assert (
        places["claim-C7"] < places["figure-1"] < places[f"run-{first.runs[0]}"] < places[f"settings-{first.runs[0]}"]
    )


def test_a_deciding_run_that_is_not_among_the_rows_is_named_without_a_link():
    elsewhere = dataclasses.replace(verdicts()[0], runs=("pairwise-gru-none-elsewhere",))
    text = page(**given(verdicts=[elsewhere]))
    assert Parsed(text).faults == []
    assert "pairwise-gru-none-elsewhere" in Parsed(text).text


def test_two_claims_of_one_name_have_places_of_their_own():
    assert Parsed(page(**given(verdicts=[verdicts()[0]] * 2))).faults == []


def test_every_run_is_told_and_how_it_ended():
    rows = pd.DataFrame([*runs(3, 3), {"run": "torn", "status": "CORRUPT", "reason": "run.json is not JSON"}])
    text = Parsed(page(**given(rows=rows))).text
    for run, own in rows.groupby("run"):
        assert run in text
        assert own["reason"].iloc[0] in text
    assert "10 runs: 4 done, 3 diverged, 2 failed, 1 damaged." in text
    assert "runs that cannot be read" in text
    assert "3 runs, 3 diverged" in text
    assert "3 runs, boundary 0.740, broad 0.740, at length 16, 1 failed" in text
    assert "739 [.719, .759]" in text


def test_squeezed_and_forced_scores_are_no_scores_of_the_runs():
    rows = pd.DataFrame(runs(2, 2))
    other = rows[rows["accuracy"].notna()].assign(accuracy=0.111, accuracy_low=0.1, accuracy_high=0.12)
    more = [rows, other.assign(bits_per_number=2), other.assign(steps=7), other.assign(length=64, in_range=False)]
    text = Parsed(page(**given(rows=pd.concat(more)))).text
    assert ".111" not in text[text.index("Every run, recipe") : text.index("All settings of each run")]


def test_settings_stand_beside_their_run_and_fingerprints_once():
    one, two = {"torch": "2.13.0", "threads": 1, "gpu": None}, {"torch": "2.13.0", "threads": 2}
    names = list(pd.DataFrame(runs(2, 5))["run"].unique())
    text = page(**given(fingerprints={run: two if number == 3 else one for number, run in enumerate(names[:-1])}))
    parsed = Parsed(text)
    assert parsed.faults == []
    assert len(re.findall(r'<details id="machine-', text)) == 2
    assert "2 were found in 9 runs" in parsed.text
    assert "threads 1 (8 runs), 2 (1 run)" in parsed.text
    assert "torch 2.13.0 (" not in parsed.text
    assert f"{names[3]} machine 2 , scores seed: 3 task: name: pairwise" in parsed.text
    assert f"{names[-1]} its fingerprint is not told, scores seed: 9" in parsed.text


def test_a_run_whose_settings_cannot_be_read_says_so():
    text = Parsed(page(**given(configs={}, fingerprints={}))).text
    assert text.count("Its settings could not be read.") == 10
    assert "No fingerprint is told." in text


def test_settings_of_runs_that_were_not_chosen_are_kept():
    parsed = Parsed(page(**given(configs={"pairwise-other": "seed: 77"})))
    assert parsed.faults == []
    assert "pairwise-other its fingerprint is not told seed: 77" in parsed.text


def test_the_appendix_has_every_level_and_the_commands():
    text = Parsed(page(**given())).text
    for level, name, sentence in LEVELS:
        assert f"{level}, {name} {sentence}" in text
    assert [level for level, *_ in LEVELS] == ["L0", "L1", "L2", "L3", "L4", "L5"]
    assert "python -m harness study=pairwise_conjecture study.size=small" in text
    assert "study=recall_state study.size" not in text, "it was not run"
    assert "command python -m harness report version 0.4.0 commit a549cec" in text
    again = page(**given(about={"studies": ["python -m harness study=hops study.size=full model.width=8"]}))
    assert "study=hops study.size=full model.width=8" in Parsed(again).text
    assert "This page" not in Parsed(again).text


def test_nothing_at_all_is_a_page_too():
    text = page(pd.DataFrame(), [], [], {}, {}, {})
    assert Parsed(text).faults == []
    assert "0 runs. 0 figures." in Parsed(text).text
    unscored = pd.DataFrame(runs(1, 2))
    assert Parsed(page(unscored, [], [], {}, {}, {})).faults == []


def test_recipes_are_the_table_that_compare_prints(made):
    table = compare.table(given()["rows"])
    assert table["boundary"].notna().any()
    same, columns = compare.shown(table)
    text = Parsed(made).text
    assert same in text
    for column in columns:
        assert all(cell.strip() in text for cell in column.cells)


def figure_parts(text, number):
    """The svg of a figure, the elements in it."""
    whole = re.findall(r"<svg.*?</svg>", text, re.DOTALL)[number]
    return whole, Parsed(whole)


def test_figures_lie_in_the_page_with_their_words(made):
    ids = []
    for number, one in enumerate(given()["pictures"]):
        _, parsed = figure_parts(made, number)
        assert parsed.faults == [], "what a figure refers to is in it"
        tag, root = parsed.elements[0]
        told = {attributes["id"]: tag for tag, attributes in parsed.elements[1:3]}
        assert (tag, root["role"]) == ("svg", "img")
        assert told == {root["aria-labelledby"]: "title", root["aria-describedby"]: "desc"}
        assert one.title in parsed.text
        assert " ".join(one.alternative.split()) in parsed.text
        ids.append({attributes["id"] for _, attributes in parsed.elements if "id" in attributes})
    assert not ids[0] & ids[1]


def test_nothing_that_draws_is_lost():
    one = picture()
    before, after = Parsed(one.svg), Parsed(inline(one, "f1-"))
    told = {"metadata", "style", "title", "desc", "rdf:rdf", "cc:work", "dc:type", "dc:format"}
    kinds = [[tag for tag, _ in parsed.elements if tag not in told] for parsed in (before, after)]
    assert kinds[0] == kinds[1]
    assert {"use", "image", "pattern", "clippath", "path"} <= set(kinds[0])
    for name in ("d", "style", "transform", "viewbox", "width", "x", "y", "points"):
        values = [
            ["".join(attributes[name].replace("#f1-", "#").split()).rstrip(";")
             for tag, attributes in parsed.elements if name in attributes and tag not in told]
            for parsed in (before, after)
        ]  # fmt: skip
        assert values[0] == values[1], name


NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT>alert(1)</SCRIPT>",
    "<g><script href='http://a.example/x.js'/></g>",
    "<rect onload='alert(1)' width='1'/>",
    "<rect OnClick='alert(1)'/>",
    "<a href='javascript:alert(1)'><text>x</text></a>",
    "<a xlink:href='http://a.example'><text>x</text></a>",
    "<use href='http://a.example/x.svg#a'/>",
    "<use xlink:href='data:image/svg+xml,x#a'/>",
    "<image href='http://a.example/x.png'/>",
    "<image xlink:href='data:image/svg+xml;base64,AAAA'/>",
    "<image href='javascript:alert(1)'/>",
    "<rect fill='url(http://a.example/x#a)'/>",
    "<rect fill='url(example.svg#a)'/>",
    "<rect style='fill: url(//a.example/x#a)'/>",
    "<rect style='fill: URL(http://a.example)'/>",
    "<rect style='fill: u\\72l(http://a.example)'/>",
    "<rect style='background: image-set(\"http://a.example/x\" 1x)'/>",
    "<rect style='fill: image-set(\"http://a.example/x\" 1x)'/>",
    "<rect style='behavior: x; -moz-binding: x'/>",
    "<style>@import 'http://a.example/x.css'; * {display: none}</style>",
    "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml' onload='alert(1)'/></foreignObject>",
    "<set attributeName='href' to='javascript:alert(1)'/>",
    "<animate attributeName='href' values='javascript:alert(1)'/>",
    "<iframe src='http://a.example'/>",
    "<text>&lt;script&gt;alert(1)&lt;/script&gt;</text>",
    "<text>\x1b[31mred\u202e</text>",
    "<g id='\"&gt;&lt;script&gt;alert(1)&lt;/script&gt;'/>",
    "<h:script xmlns:h='http://www.w3.org/1999/xhtml'>alert(1)</h:script>",
    "<!-- --><!-- <script>alert(1)</script> -->",
    "<text><![CDATA[<script>alert(1)</script>]]></text>",
    "<title>&lt;script&gt;</title>",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_of_a_hostile_figure_only_what_draws_is_left(attack):
    one = Picture("x", "a title", f"<svg {NAMESPACES}>{attack}<path d='M0 0'/></svg>", "words")
    text = inline(one, "f1-")
    assert Parsed(text).faults == []
    assert not re.search(
        r"example|behavior|@import|\x1b|\u202e|<script|display|xhtml|CDATA|<!--|image-set", text.lower()
    )
    assert '<path d="M0 0"/>' in text


@pytest.mark.parametrize(
    ("svg", "said"),
    [
        ("", "no element found"),
        ("<svg", "unclosed token"),
        ("<p/>", "its root is p"),
        ('<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>', "it defines entities"),
        (f"<svg>{'<g>' * 500}{'</g>' * 500}</svg>", "more than 60 groups"),
    ],
)
def test_what_is_no_figure_is_refused_by_its_name(svg, said):
    with pytest.raises(ValueError, match=f"the picture my-figure is no svg: .*{said}"):
        inline(Picture("my-figure", "", svg, ""), "f1-")


def poisoned(poison):
    """The page where every string that comes from somewhere else holds ``poison``."""
    rows = pd.DataFrame(runs(2, 2, attention=f"soft{poison}", task=f"pair{poison}", **{"task.kind": f"kind{poison}"}))
    rows["run"] += poison
    rows["reason"] += poison
    rows["recipe"] += poison
    rows["seed"] = rows["seed"].astype(str) + poison
    rows.loc[rows["status"] == "FAILED", "status"] = f"FAILED{poison}"
    names = list(rows["run"].unique())
    claims = verdicts(sentence=poison, source=poison, mind=poison, note=poison, corrected=poison, needs=poison)
    found = [
        dataclasses.replace(
            verdict, word=f"sure{poison}", reason=poison, ladder=poison, size=poison, runs=(*names, poison)
        )
        for verdict in claims
    ]
    named = dataclasses.replace(claims[0].claim, name=f"C{poison}", study=f"study{poison}")
    one = dataclasses.replace(picture(), name=poison, title=poison, alternative=poison, study=f"study{poison}")
    return page(
        rows=rows,
        verdicts=[*found, dataclasses.replace(found[0], claim=named)],
        pictures=[one],
        configs={run: f"seed: {poison}" for run in names},
        fingerprints={run: {f"cpu{poison}": poison, "threads": number} for number, run in enumerate(names)},
        about={f"command{poison}": poison, "studies": [poison]},
    )


@pytest.fixture(scope="module")
def hostile():
    return poisoned(HOSTILE)


def test_a_hostile_record_is_text_and_nothing_but_text(hostile):
    harmless, parsed = Parsed(poisoned("harmless")), Parsed(hostile)
    assert parsed.faults == []
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in harmless.elements]
    assert [sorted(attributes) for _, attributes in parsed.elements] == [sorted(a) for _, a in harmless.elements]
    shown = HOSTILE.replace("\x1b", "␛").replace("\u202e", "\ufffd")
    assert parsed.text.count("<script>alert(1)</script>") == harmless.text.count("harmless") == parsed.text.count(shown)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile)


def test_a_page_that_does_not_escape_is_seen():
    broken = poisoned("harmless").replace("harmless", HOSTILE)
    assert Parsed(broken).faults


def test_a_thousand_runs_are_told_within_the_budget_and_folded():
    data = pd.DataFrame(runs(251, 5, lengths=(4, 8, 16, 32, 64)))
    names = data["run"].unique()
    assert len(names) > 1000
    began = time.perf_counter()
    text = page(data, [], [], {run: "seed: 0\n" * 60 for run in names}, {run: {"cpu": "EPYC"} for run in names}, {})
    assert time.perf_counter() - began < 30
    assert set(re.findall(r'<tr id="run-([\w-]+)"', text)) == set(names)
    assert 'class="recipe" open' not in text
    assert '<details class="recipe" open>' in page(**given())
    assert len(given()["configs"]) <= OPEN


@pytest.fixture(scope="session")
def look(tmp_path_factory):
    """A page -> (its document as text, what the console said, what it asked the network for), as Chromium has it.

    Chromium asks for updates of its own; only what a document asked for has an origin. No name is resolved.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise FileNotFoundError("the report is looked at in a browser and there is none: apt-get install -y chromium")

    def looked(text):
        folder = tmp_path_factory.mktemp("browser")
        (folder / "report.html").write_text(text, encoding="utf-8")
        words = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --v=0".split()
        words += [f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]
        words += ["--enable-logging=stderr", f"--log-net-log={folder / 'net.json'}", f"file://{folder / 'report.html'}"]
        done = subprocess.run([found, *words], capture_output=True, text=True, timeout=120, check=True)
        log = json.loads((folder / "net.json").read_text())
        kinds = {number: name for name, number in log["constants"]["logEventTypes"].items()}
        told = [event.get("params", {}) for event in log["events"] if kinds[event["type"]].startswith("URL_REQUEST")]
        asked = {one["url"] for one in told if one.get("initiator", "not an origin") != "not an origin"}
        console = [line.partition(":CONSOLE")[2] for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, console, asked

    return looked


def test_a_browser_shows_it_asks_for_nothing_and_complains_of_nothing(look, made):
    document, console, asked = look(made)
    assert (console, asked) == ([], set())
    assert Parsed(document).text == Parsed(made).text
    assert picture().title in figure_parts(document, 0)[1].text
    assert [tag for tag, _ in figure_parts(document, 0)[1].elements] == [
        tag for tag, _ in figure_parts(made, 0)[1].elements
    ]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_browser_runs_nothing_of_a_hostile_record(look, hostile, guarded):
    policy = re.search(r"<meta http-equiv=.Content-Security-Policy.*>\n", hostile)[0]
    assert "default-src 'none'" in policy
    document, console, asked = look(hostile if guarded else hostile.replace(policy, ""))
    assert (console, asked) == ([], set())
    assert "<script" not in document


@pytest.mark.parametrize(
    ("specimen", "says", "asks"),
    [
        ("<img src='http://a.example/x.png'>", "", "http://a.example/x.png"),
        ("<svg><image href='http://a.example/y.png'/></svg>", "", "http://a.example/y.png"),
        ("<link rel=stylesheet href='https://a.example/x.css'>", "", "https://a.example/x.css"),
        ("<script>nowhere();</script>", "nowhere is not defined", ""),
    ],
)
def test_a_page_that_loads_or_fails_is_caught_by_the_same_look(look, specimen, says, asks):
    _, console, asked = look(f"<!doctype html><title>x</title>{specimen}")
    assert says in "".join(console)
    assert bool(console) == bool(says)
    assert asked == ({asks} if asks else set())


def test_the_template_lies_beside_its_code():
    assert (Path(svg_room.__file__).parent / "page.html").exists()
