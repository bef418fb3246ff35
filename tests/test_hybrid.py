"""A hybrid has a variant in each layer: chosen by a list, resumed like one map, known by all its settings."""

import pytest
import torch

from harness import config, identity, store
from harness.__main__ import main
from harness.attention.linear import Linear
from harness.attention.softmax import Softmax
from harness.attention.window import Window
from harness.model import build
from harness.nearest import Refusal
from harness.settings import Experiment

SMALL = ["task=parity", "model.width=16", "model.heads=2", "train.lengths=[4]", "train.updates=3", "train.batch=4"]
SMALL += ["train.validate_examples=4", "evaluate.examples=4"]
WINDOWED = "attention.layers=[softmax,{name:window,window:3}]"


def point(*line):
    (found,) = config.points([*SMALL, "attention=hybrid", *line])
    return found


def mixers(*line):
    return [block.mixer for block in build(point(*line)).blocks]


def test_each_layer_has_its_variant_with_its_settings():
    assert [type(mixer) for mixer in mixers()] == [Softmax, Linear]
    first, second, third = mixers("model.layers=3", "attention.layers=[window,softmax,{name:window,window:3,sinks:1}]")
    assert (type(first), type(second), type(third)) == (Window, Softmax, Window)
    assert (first.window, first.sinks, third.window, third.sinks) == (16, 0, 3, 1)


def test_settings_left_out_are_those_of_the_yaml_and_all_are_kept():
    kept = point(WINDOWED).settings()["attention"]["layers"]
    assert kept == ({"name": "softmax"}, {"name": "window", "window": 3, "sinks": 0})
    assert point("attention.layers=[softmax,{name:window,window:16}]") == point("attention.layers=[softmax,window]")


def test_it_is_what_it_is_written_as():
    once = point(WINDOWED)
    assert Experiment.of(once.settings()) == once
    ids = {identity.identity(point(*line)) for line in ([], [WINDOWED], ["attention.layers=[linear,softmax]"])}
    assert len(ids) == 3
    assert identity.versions(once)["attention"] == f"{Softmax.version}+{Window.version}"


def test_of_one_variant_it_is_that_variant():
    """Equal weights, equal logits; only the name differs."""
    (plain,) = config.points([*SMALL, "attention=softmax"])
    tokens = torch.arange(12).view(2, 6) % 4
    one, other = build(plain), build(point("attention.layers=[softmax,softmax]"))
    assert torch.equal(one(tokens)[0], other(tokens)[0])


@pytest.mark.parametrize("mask", ["causal", "prefix"])
@torch.no_grad()
def test_reading_in_parts_is_reading_at_once(mask):
    model = build(point("model.layers=3", f"mask={mask}", "attention.layers=[linear,window,softmax]")).double()
    tokens = torch.arange(40).view(2, 20) % 4
    prefix = 7 if mask == "prefix" else 0
    whole, _ = model(tokens, prefix=prefix)
    state, parts = model.empty(2, 20), []
    for part in tokens.split([7] + [1] * 13, 1):
        logits, state = model(part, state, prefix if not parts else 0)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["attention.layers=[softmax]"], r"attention.layers=\[softmax\]: model.layers=2 variants are needed"),
        (["attention.layers=[sofmax,linear]"], "attention.layers: sofmax does not exist, did you mean softmax"),
        (["attention.layers=[hybrid,linear]"], "attention.layers: hybrid does not exist"),
        (["attention.layers=[{name:window,windw:3},linear]"], "attention.windw does not exist, did you mean"),
        (["attention.layers=[{name:window,window:abc},linear]"], "attention.window=abc: an integer is needed"),
        (["attention.layers=[{window:3},linear]"], "attention.layers: None does not exist"),
        (["attention.layers=softmax"], r"attention.layers=softmax: a list like \[softmax,linear\] is needed"),
    ],
)
def test_what_is_no_hybrid_is_refused(line, says):
    with pytest.raises(Refusal, match=says):
        point(*line)


def test_a_bare_list_is_refused_with_both_ways_out():
    with pytest.raises(Refusal, match=r"-m attention=softmax,linear compares them, attention=hybrid attention.layers="):
        config.points([*SMALL, "attention=[softmax,linear]"])


def test_it_runs_and_its_rows_say_what_it_is(tmp_path):
    line = [*SMALL, "attention=hybrid", WINDOWED, "--results", str(tmp_path)]
    assert main(line) == 0
    rows = store.read([tmp_path])
    assert set(rows["attention"]) == {"hybrid"}
    assert set(rows["attention.layers"]) == {"softmax+window(window=3,sinks=0)"}
    softmax, window = (mixer.state_size(9) for mixer in mixers(WINDOWED))
    row = rows[(rows["length"] == 4) & (rows["split"] == "broad")].iloc[0]
    assert row["state_bytes"] % 4 == 0
    assert 0 < row["state_bytes"] < 4 * 2 * softmax
    assert window < softmax
